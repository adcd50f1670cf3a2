"""Shares move towards what is confused, as far as a configuration can ask for it."""

import pytest

from cluster.improvement.aim import aim_at, check_can_aim, shifted, with_aim
from pipelines.recognition.confusions import CategoryConfusion, Confusions, Group, Missed
from samplers.plan import build_plan
from synthgen.config import dump_config, load_config
from synthgen.errors import ConfigError

SLOTS = {"age": ["young", "old"], "skin": ["pale", "tan", "dark"], "hair": [*"abcdefgh"]}
TEMPLATE = "a {age} person with {hair} hair and {skin} skin"


def config_of(tmp_path, **changes):
    import yaml

    keys = {
        "name": "faces",
        "seed": 3,
        "samples": 400,
        "output": {"path": "out"},
        "expressions": {"prior": "emotions", "categories": ["happy", "sad", "angry", "surprised"]},
        "identities": {
            "source": "prompts", "template": TEMPLATE, "slots": SLOTS, "people_per_tuple": 100,
            "expressions_per_identity": 2,
        },
        "pipeline": {"name": "procedural"},
        "verify": {"verifier": "none"},
        **changes,
    }  # fmt: skip
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(keys))
    return load_config(path)


def missed(pictures, share):
    return Missed(pictures, share, 0.0, 1.0)


def group(category=None, au=None, levels="", slot="", value="", weak=True, share=0.6):
    found = missed(60, share), missed(60, 0.1)
    return Group(category, au, levels, slot, value, *found, chance=0.001, weak=weak)


def confusions(*groups):
    kinds = {
        "happy": (0.0, 0.0),
        "sad": (0.5, 10.0),
        "angry": (0.1, 50.0),
        "surprised": (0.0, 0.0),
    }
    categories = tuple(
        CategoryConfusion(name, missed(100, share), taken, {})
        for name, (share, taken) in kinds.items()
    )
    return Confusions(missed(400, 0.15), categories, groups)


def test_shares_move_by_the_formula_and_keep_their_sum():
    usual = {"a": 0.4, "b": 0.4, "c": 0.2}
    moved = shifted(usual, {"a": 30, "b": 10}, focus=0.5)
    assert moved["c"] == 0.2
    assert moved["a"] == pytest.approx(0.5 * 0.4 + 0.5 * 0.8 * (30 + 10) / 60)
    assert sum(moved.values()) == pytest.approx(1)
    assert shifted(usual, {"a": 0, "b": 0}, focus=1) == pytest.approx(usual)


def test_both_sides_of_a_confusion_get_more_and_the_run_keeps_it(tmp_path):
    config = config_of(tmp_path)
    aim = aim_at(confusions(group("sad", "AU1", "0")), config, focus=0.5)
    shares = {cell.name: cell.share for cell in aim.cells}
    assert set(shares) == {"happy", "sad, AU1 0", "sad, AU1 active", "angry", "surprised"}
    assert sum(shares.values()) == pytest.approx(1, abs=1e-9)
    assert shares["angry"] == pytest.approx(shares["sad, AU1 0"] + shares["sad, AU1 active"],
                                            abs=1e-3)  # fmt: skip
    assert shares["angry"] > 0.3 > 0.2 > shares["happy"]
    usual = {cell.name: cell.usual for cell in aim.cells}
    assert shares["sad, AU1 0"] / shares["sad, AU1 active"] > 1.2 * (
        usual["sad, AU1 0"] / usual["sad, AU1 active"]
    )
    text = dump_config(with_aim(config, aim, samples=400))
    (tmp_path / "round.yaml").write_text(text)
    plan = build_plan(load_config(tmp_path / "round.yaml"))
    specs = [plan.sample(index) for index in range(400)]
    angry = sum(spec.emotion == "angry" for spec in specs) / 400
    assert angry == pytest.approx(shares["angry"], abs=0.02)


def test_slots_get_shares_where_splits_stay_as_they_are(tmp_path):
    weak = group(slot="skin", value="dark")
    others = [group(slot="skin", value=v, weak=False, share=0.1) for v in ("pale", "tan")]
    halves = {"path": "out", "splits": {"train": 0.5, "test": 0.5}}
    aim = aim_at(confusions(weak, *others), config_of(tmp_path, output=halves), focus=1.0)
    shares = {slot.value: slot.share for slot in aim.slots}
    assert shares["dark"] > 0.5 > 0.3 > shares["tan"] == pytest.approx(shares["pale"], abs=1e-3)
    assert aim.left_out == ()
    assert with_aim(config_of(tmp_path, output=halves), aim).identities.slot_shares() == {
        "skin": shares
    }
    # Two tuples of each skin: a test split of a tenth cannot have all of them as before.
    few = {"age": ["young", "old"], "skin": ["pale", "tan", "dark"], "hair": ["a"]}
    identities = {
        "source": "prompts", "template": TEMPLATE, "slots": few, "people_per_tuple": 1000,
    }  # fmt: skip
    tenth = {"path": "out", "splits": {"train": 0.9, "test": 0.1}}
    config = config_of(tmp_path, identities=identities, output=tenth, samples=4000)
    aim = aim_at(confusions(weak, *others), config, focus=1.0)
    assert aim.slots == ()
    assert [text.partition(":")[0] for text in aim.left_out] == ["skin"]


def test_where_nothing_is_confused_nothing_is_asked_for(tmp_path):
    nothing = Confusions(
        missed(200, 0.0),
        tuple(CategoryConfusion(n, missed(100, 0.0), 0.0, {}) for n in ("happy", "sad")),
        (),
    )
    assert aim_at(nothing, config_of(tmp_path), 0.5) is None


def test_a_prior_without_categories_or_quotas_is_refused(tmp_path):
    plain = {"prior": "uniform", "active": {2: 1.0}}
    with pytest.raises(ConfigError, match="take a prior with two at least, such as emotions"):
        check_can_aim(config_of(tmp_path, expressions=plain))
    identities = {
        "source": "prompts", "template": TEMPLATE, "slots": SLOTS, "neutral_image": True,
        "people_per_tuple": 100,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="which this configuration cannot have: identities"):
        check_can_aim(config_of(tmp_path, identities=identities))
