"""AUs that LibreFace's detection head alone knows, judged by occurrence: tiny weights, a run."""

import numpy as np
import pytest
import torch
from datasets import load_dataset

from cluster.driver import generate
from pipelines.interfaces import ImageSource
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import DETECTED_AUS, LibreFaceNetwork
from pipelines.libreface.occurrence import OccurrenceCheck, judge_occurrence
from pipelines.libreface.section import OCCURRING_AUS, LibreFacePolicy
from pipelines.procedural import random_identity, render
from synthgen.action_units import AUS, ActionUnitSet
from synthgen.config import parse_config
from synthgen.config.pipeline import PipelineSection
from synthgen.dataset import Storage, inspect_dataset, read_statistics
from synthgen.errors import ConfigError
from synthgen.report.pictures import one_sample

SEVENTEEN = ActionUnitSet.of((*AUS, *OCCURRING_AUS))
EXTRA = ("AU7", "AU10", "AU14", "AU23", "AU24")
WIDE = {"max_active_error": None, "max_inactive": None, "min_active": None}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Write weights of LibreFace's layout whose detection head always sees AU7 and never AU10."""
    torch.manual_seed(1)
    network = LibreFaceNetwork()
    with torch.no_grad():
        network.classifier_2[4].weight.zero_()
        bias = network.classifier_2[4].bias
        bias.zero_()
        bias[DETECTED_AUS.index("AU7")] = 9.0
        bias[DETECTED_AUS.index("AU10")] = -9.0
    file = tmp_path_factory.mktemp("weights") / "combined_resnet.pt"
    torch.save({"model": network.state_dict()}, file)
    return file


def face(seed=1):
    return render(random_identity(seed=seed), (0.0,) * 12)


def spec(**aus):
    return one_sample("", SEVENTEEN.vector(aus), 0, SEVENTEEN)


@pytest.fixture(scope="module")
def reader(weights):
    return LibreFaceVerifier.from_pretrained(weights, aligner="centered")


def test_the_head_tells_twelve_aus_alike_alone_and_in_a_batch(reader):
    pictures = [face(seed) for seed in range(3)]
    found = reader.occurrences(pictures)
    assert found.shape == (3, 12)
    told = dict(zip(DETECTED_AUS, found[0].tolist(), strict=True))
    assert (told["AU7"], told["AU10"]) == (pytest.approx(1, abs=1e-3), pytest.approx(0, abs=1e-3))
    assert told["AU14"] == 0.5
    assert np.array_equal(found[1:2], reader.occurrences(pictures[1:2]))
    assert reader.occurrences([]).shape == (0, 12)


def test_intensities_are_judged_as_ever_and_others_by_occurrence(reader):
    policy = LibreFacePolicy(**WIDE, min_occurrence=0.5, max_occurrence=0.8)
    check = OccurrenceCheck(reader, policy, SEVENTEEN, EXTRA)
    assert list(check.columns) == ["aus_measured", "active_error", "inactive_max", "au_occurrence"]
    assert [check.columns[name]["length"] for name in ("aus_measured", "au_occurrence")] == [17, 12]

    def judged(**aus):
        (found,) = check.measure([face()], [spec(**aus)])
        unknown = [
            name
            for name, value in zip(SEVENTEEN.names, found["aus_measured"], strict=True)
            if value is None
        ]
        assert tuple(unknown) == EXTRA
        return check.verdict(spec(**aus), found)

    assert judged(AU7=3.0, AU14=2.0).accepted
    absent = judged(AU7=3.0, AU10=3.0)
    assert (absent.reason, absent.distance) == ("occurrence", pytest.approx(2.5, abs=0.01))
    assert absent.detail == (
        "AU10 is there with a probability of 0.00 where 3.00 was asked for; the least allowed is "
        "0.5"
    )
    assert judged(AU7=3.0, AU10=0.5).accepted  # too faint to be there for certain
    assert judged().detail == (
        "AU7 is there with a probability of 1.00 without being asked for; at most 0.8 is allowed"
    )
    strict = LibreFacePolicy(max_active_error=0, min_occurrence=0.5)
    check = OccurrenceCheck(reader, strict, SEVENTEEN, EXTRA)
    assert judged(AU12=5.0, AU10=3.0).reason == "active_error"
    assert check.fingerprint() == reader.fingerprint()


def test_each_bound_may_stand_alone():
    only = LibreFacePolicy(max_occurrence=0.5)
    assert judge_occurrence("AU7", 3.0, 0.0, only) is None
    assert judge_occurrence("AU7", 0.0, 0.5, only) is None
    assert judge_occurrence("AU7", -1.0, 0.6, only) is not None


class Drawn(ImageSource):
    """Draws the twelve AUs, and nothing of the others."""

    def generate(self, attempts):
        return [
            render(random_identity(attempt.noise_seed), self.known(attempt.spec))
            for attempt in attempts
        ]

    def known(self, spec):
        return tuple(spec.aus[SEVENTEEN.index(name)] for name in AUS)


class DrawnSection(PipelineSection):
    """The section of a pipeline that may be asked for any AU."""

    name: str

    @property
    def action_units(self):
        return frozenset(SEVENTEEN.names)

    def load(self, device):
        return Drawn()


SHOWN = ({"AU12": 3}, {"AU1": 2, "AU9": 4})
"""Combinations of AUs that any run of these tests may ask for."""


def make(tmp_path, weights, aus=SEVENTEEN.names, shown=SHOWN, **policy):
    return parse_config(
        {
            "name": "occurring", "seed": 3, "samples": 6,
            "output": {"path": str(tmp_path / "out"), "splits": {"train": 1.0}},
            "expressions": {"prior": "combinations", "action_units": list(aus),
                            "combinations": [{"aus": each} for each in shown]},
            "identities": {"source": "prompts", "template": "a face", "slots": {},
                           "people_per_tuple": 6},
            "pipeline": {"name": f"{__name__}:DrawnSection", "batch_size": 3},
            "verify": {"weights": str(weights), "aligner": "centered", "on_exhausted": "drop",
                       "policy": {**WIDE, **policy}, "max_attempts": 1},
        }
    )  # fmt: skip


def test_a_run_of_seventeen_aus_keeps_what_is_there(tmp_path, weights):
    shown = ({"AU7": 3, "AU12": 3}, {"AU10": 3, "AU12": 3})
    config = make(tmp_path, weights, shown=shown, min_occurrence=0.5)
    assert parse_config(config.model_dump(mode="json")) == config
    generate(config, "inline")
    rows = list(load_dataset(config.output.path)["train"])
    rejects = list(load_dataset(config.output.path, "rejects")["train"])
    ten = SEVENTEEN.index("AU10")
    assert rows
    assert rejects
    assert {row["aus"][ten] for row in rows} == {0}
    assert {row["reason"] for row in rejects} == {"occurrence"}
    assert all(row["aus"][ten] > 0 and len(row["au_occurrence"]) == 12 for row in rejects)
    assert rows[0]["aus_measured"][ten] is None
    measured = {
        au.name: au.mean_elsewhere for au in read_statistics(Storage(config.output.path)).aus
    }
    assert np.isnan(measured["AU10"])
    assert not np.isnan(measured["AU25"])
    assert inspect_dataset(config.output.path).problems == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "verifier 'libreface' cannot measure AU7, AU10, AU14, AU23, AU24, which "
             f"expressions.action_units names; it can measure {', '.join(AUS)}"),
        ({"min_occurrence": 0.5, "weights": "mini"},
         "verify.policy.min_occurrence: the weights 'mini' have not learned to tell whether other "
         "AUs are there; set weights to 'libreface', or to a file of its format"),
        ({"max_occurrence": 0.5, "aus": AUS},
         "verify.policy.max_occurrence: it judges AU7, AU10, AU14, AU23 and AU24, and the run has "
         "none of them; name them in expressions.action_units, or leave it out"),
        ({"min_occurrence": 0.5, "per_au_tolerance": {"AU10": 1}},
         "verify.policy.per_au_tolerance: of AU10 no intensity is measured; it is judged by "
         "occurrence"),
        ({"min_occurrence": 2}, "verify.policy.min_occurrence is 2; it must be at most 1"),
    ],
)  # fmt: skip
def test_bounds_that_judge_nothing_are_refused(tmp_path, weights, changes, said):
    with pytest.raises(ConfigError) as caught:
        make(tmp_path, **{"weights": weights, **changes})
    assert str(caught.value) == f"configuration: {said}"


def test_faces_of_a_bank_are_served_by_their_intensities(tmp_path, weights):
    check = make(tmp_path, weights, max_active_error=1.0, min_occurrence=0.5).verify.checks[0]
    requested = np.array([SEVENTEEN.vector({"AU12": 3.0, "AU7": 2.0})])
    near, far = SEVENTEEN.vector({"AU12": 3.5}), SEVENTEEN.vector({"AU12": 5.0})
    measured = np.array([near, far])
    measured[:, SEVENTEEN.index("AU7")] = np.nan
    assert check.accepts(requested, measured, SEVENTEEN).tolist() == [[True, False]]
