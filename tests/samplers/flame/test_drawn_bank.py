import numpy as np
import pytest
from typer.testing import CliRunner

from samplers import build_plan
from samplers.flame import Bank
from samplers.flame.drawn import APART, CODED_AUS, drawn_intensities
from samplers.flame.drawn_bank import drawn_bank
from samplers.flame.serving import count_served
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.cli.commands import app
from synthgen.config import parse_config
from synthgen.config.priors.flame import MINI_BANK, FlameConfig
from synthgen.errors import BankError


def make_config(**flame):
    return parse_config(
        {
            "name": "test",
            "seed": 3,
            "samples": 60,
            "output": {"path": "out", "splits": {"train": 1.0}},
            "expressions": {
                "prior": "emotions",
                "categories": ["neutral", "happy", "sad", "surprised"],
                "flame": {"bank": "mini", **flame},
            },
            "identities": {
                "source": "prompts",
                "template": "a {hair} person",
                "slots": {"hair": [f"hair {number}" for number in range(60)]},
            },
            "pipeline": {"name": "procedural"},
            "verify": {"policy": {"max_active_error": 1.5, "max_inactive": 1.0}},
        }
    )


def test_its_faces_are_those_of_the_drawing():
    bank = Bank.read(MINI_BANK)
    assert len(bank) == 4000
    assert bank.action_units == CODED_AUS
    assert bank.digest == "435a12c53e8917ce9038cb027d4ae250c3e468e3bde7f2fafe82da3b3e67f3a0"
    both = drawn_intensities(bank.flame)
    np.testing.assert_allclose(both, np.stack([bank.aus, bank.aus], axis=1), atol=1e-5)
    for pair in APART:
        one, other = (bank.aus[:, CODED_AUS.index(name)] for name in pair)
        assert not (one * other).any()
    assert 0.03 < (bank.aus == 0).all(axis=1).mean() < 0.1
    assert ((bank.aus > 0).sum(axis=0) > 100).all()


def test_more_faces_keep_the_earlier_ones():
    assert (drawn_bank(faces=50).flame == drawn_bank(faces=80).flame[:50]).all()


@pytest.mark.parametrize("names", [DEFAULT_AUS.names, ("AU12",), ("AU14", "AU23")])
def test_it_shows_the_aus_of_a_run_and_no_others(names):
    aus = ActionUnitSet(names)
    bank = drawn_bank(aus, faces=300)
    shown = drawn_intensities(bank.flame)[:, 0]
    others = [place for place, name in enumerate(CODED_AUS.names) if name not in aus]
    assert np.abs(shown[:, others]).max() < 1e-6
    assert (bank.aus > 0).any(axis=0).all()


def test_other_aus_are_refused():
    with pytest.raises(BankError) as refused:
        drawn_bank(ActionUnitSet(("AU12", "AU45")))
    assert str(refused.value) == (
        "the bank 'mini' does not hold AU45; drawn faces show AU1, AU2, AU4, AU5, AU6, AU7, AU9, "
        "AU10, AU12, AU14, AU15, AU17, AU20, AU23, AU24, AU25, AU26, AU43"
    )


@pytest.mark.parametrize("method", ["nearest", "linear"])
def test_a_run_takes_it_by_its_name(method):
    plan = build_plan(make_config(method=method))
    specs, asked = plan.specs("train", 0, 60), plan.requests("train", 0, 60)
    shown = drawn_intensities([spec.conditions["flame"].numbers for spec in specs])[:, 0]
    errors = np.abs(shown[:, [CODED_AUS.index(name) for name in DEFAULT_AUS.names]] - asked)
    assert errors.max() < (0.2 if method == "linear" else 5)
    assert errors.mean() < (0.02 if method == "linear" else 0.5)
    assert count_served(plan).unserved == 0


def test_its_section_is_no_path_and_brings_its_extractor():
    section = FlameConfig(bank="mini")
    assert section.extractor == "mini"
    assert section.with_absolute_paths() == section
    assert section.local_paths() == []
    assert FlameConfig(bank="./mini").local_paths() == ["./mini"]
    assert FlameConfig(bank="bank.parquet").with_bank("mini") == section
    with pytest.raises(BankError) as refused:
        build_plan(make_config(extractor="smirk"))
    assert str(refused.value) == (
        "expressions.flame.bank: mini holds numbers of the extractor 'mini', and "
        "expressions.flame.extractor is 'smirk'; numbers of two extractors mean different things"
    )


def test_it_is_inspected_by_its_name():
    told = CliRunner().invoke(app, ["flame", "inspect", "mini"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("mini: 4000 faces of 3698 pictures\nextractor   mini")
    assert told.output.endswith("left and right: the numbers of drawn faces have both, AUs none\n")
