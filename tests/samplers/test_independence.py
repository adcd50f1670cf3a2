"""What changing one part of a configuration leaves as it was, to the byte."""

import numpy as np
import pytest
from prior_sections import INDEPENDENT, RULES, SECTIONS

from samplers import Plan, build_plan
from synthgen.config import parse_config

OTHER_MIXTURE = {
    "prior": "mixture",
    "of": [{"prior": "emotions", "categories": ["happy", "sad"], "variants": False}, INDEPENDENT],
}
SLOTS = {"age": ["young", "old"], "hair": [f"hair {number}" for number in range(60)]}


def _plan(expressions: dict, slots: dict = SLOTS) -> Plan:
    return build_plan(
        parse_config(
            {
                "name": "test",
                "seed": 11,
                "samples": 120,
                "output": {"path": "out"},
                "expressions": expressions,
                "identities": {
                    "source": "prompts",
                    "template": ", ".join(f"{{{slot}}}" for slot in slots),
                    "slots": slots,
                    "expressions_per_identity": 3,
                },
                "pipeline": {"name": "procedural"},
            }
        )
    )


def _vectors(plan: Plan) -> np.ndarray:
    return np.array([plan.sample(index).aus for index in range(plan.samples)])


def _identities(plan: Plan) -> list[tuple]:
    """Return who is shown; the run's own part of the names aside, which tells runs apart."""
    specs = [plan.sample(index) for index in range(plan.samples)]
    return [
        (one.split, one.identity_id.replace(plan.run_id, ""), one.prompt, one.identity_seed)
        for one in specs
    ]


@pytest.mark.parametrize("name", SECTIONS)
def test_an_identity_slot_changes_no_au_vector(name):
    more = {**SLOTS, "place": ["indoors", "outdoors"]}
    plans = _plan(SECTIONS[name]), _plan(SECTIONS[name], more)
    assert _vectors(plans[0]).tobytes() == _vectors(plans[1]).tobytes()
    assert _identities(plans[0]) != _identities(plans[1])


def test_a_priors_option_changes_no_identity():
    expected = _identities(_plan(INDEPENDENT))
    for section in (*SECTIONS.values(), {**INDEPENDENT, "allow_out_of_range": True}):
        assert _identities(_plan(section)) == expected


@pytest.mark.parametrize("section", [INDEPENDENT, OTHER_MIXTURE], ids=["independent", "mixture"])
@pytest.mark.parametrize("count", range(len(RULES)))
def test_a_rule_changes_only_the_samples_against_it(section, count):
    before = _vectors(_plan({**section, "rules": RULES[:count]}))
    after = _vectors(_plan({**section, "rules": RULES[: count + 1]}))
    active = dict(
        zip(("AU9", "AU12", "AU15", "AU25", "AU26"), before.T[[5, 6, 7, 10, 11]], strict=True)
    )
    broken = [
        (active["AU26"] != 0) & (active["AU25"] < 1),
        (active["AU12"] != 0) & (active["AU15"] != 0),
        (before != 0).sum(axis=1) > 3,
        active["AU9"] > 3,
    ][count]
    assert after[~broken].tobytes() == before[~broken].tobytes()
    if count < 3:
        assert broken.any()
        assert (after[broken] != before[broken]).any(axis=1).all()
