"""The check `slots` in a run: columns, rejects, report and card."""

import pytest
from commands import run
from datasets import load_dataset
from tiny_slots import attributes

from cluster.driver import generate
from synthgen.config import dump_config, parse_config
from synthgen.dataset import Storage, read_statistics


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return the file of a network that sees old people in every picture."""
    folder = tmp_path_factory.mktemp("network")
    return attributes(folder / "attributes.safetensors", {"age": "old"}, {"age": ("young", "old")})


def with_slots(make_config, network, **check):
    stored = make_config(samples=12).model_dump(mode="json")
    reader = {"kind": "attributes", "weights": str(network)}
    verify = {"checks": [{"name": "slots", "reader": reader, **check}], "max_attempts": 2}
    return parse_config({**stored, "verify": {**verify, "on_exhausted": "keep_best"}})


def test_what_is_read_is_stored_and_told(make_config, network):
    config = with_slots(make_config, network)
    generate(config, "inline")
    rows = [row for split in load_dataset(config.output.path).values() for row in split]
    assert {row["slot_age_read"] for row in rows} == {"old"}
    assert all(row["slot_age_right"] == (row["identity"]["age"] == "old") for row in rows)
    assert all(row["slot_age_probability"] > 0.99 for row in rows)
    assert "slot_hair_read" not in rows[0]
    old = sum(row["identity"]["age"] == "old" for row in rows)
    found = read_statistics(Storage(config.output.path)).by_slot
    (age,) = found.slots.values()
    assert (list(found.slots), age.hits, age.total) == (["age"], old, 12)
    assert age.worth == pytest.approx(3)  # people: a person's images go together
    _, said, _ = run("report", config.output.path)
    assert f"slots shown as asked: age {age.text()}\n" in said
    card = Storage(config.output.path).read("README.md").decode()
    assert f"has read in the image: `age` {100 * old / 12:.1f} %." in card


def test_wrong_ones_are_refused_by_the_name_of_the_slot(make_config, network):
    config = with_slots(make_config, network, policy={"refuse": ["age"]})
    generate(config, "inline")
    rows = [row for split in load_dataset(config.output.path).values() for row in split]
    assert all(row["accepted"] == (row["identity"]["age"] == "old") for row in rows)
    assert set(read_statistics(Storage(config.output.path)).rejected) == {"slots:age"}
    rejects = load_dataset(config.output.path, "rejects")
    (split, *_) = rejects.values()
    assert split[0]["detail"] == (
        "the slot age is read as 'old' (1.00); 'young' (0.00) was asked for"
    )


def test_plan_tells_of_slots_that_nothing_judges(make_config, network, tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text(dump_config(with_slots(make_config, network)))
    code, _, complaints = run("plan", file)
    assert code == 0
    assert complaints.splitlines() == [
        f"warning: the check slots does not judge the slot {slot!r}: its values name no trait that "
        "the network reads"
        for slot in ("person", "hair", "skin")
    ]
