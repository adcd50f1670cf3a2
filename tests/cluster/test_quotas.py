"""Delivered data holds the quotas although the policy rejects one category nine times in ten."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.driver import generate
from pipelines.interfaces import Measurement
from pipelines.libreface.check import ActionUnitCheck
from pipelines.procedural.source import ProceduralSource
from synthgen.action_units import AUS
from synthgen.dataset import Storage, read_statistics
from synthgen.dataset.strata import drifts
from synthgen.report.comparison import compare, describe_comparison

CATEGORIES = {"happy": 0.25, "sad": 0.35, "surprised": 0.4}
BY_CATEGORY = {
    "prior": "emotions",
    "categories": ["happy", "sad", "surprised"],
    "quotas": {"category": CATEGORIES},
}
FAILS = {True: 0.95, False: 0.8}
"""Chance that a surprised face, with and without AU5, is not shown at all; 0.9 over both."""


class DottedSource(ProceduralSource):
    """Writes the AUs into 12 pixels; of a surprised face often none, by the attempt's seed."""

    def generate(self, attempts):
        return [self._dots(attempt) for attempt in attempts]

    def _dots(self, attempt):
        spec = attempt.spec
        chance = FAILS[spec.aus[3] != 0] if spec.emotion == "surprised" else 0.0
        fails = np.random.default_rng(attempt.seed).random() < chance
        shown = np.zeros(12) if fails else np.array(spec.aus)
        return Image.fromarray((shown * 50).astype(np.uint8)[None].repeat(2, axis=0), "L")


class DotReader:
    """Reads the AUs back."""

    name = "dots"

    def measure(self, images):
        aus = np.stack([np.asarray(image)[0] / 50 for image in images])
        return Measurement(aus, np.ones(len(images), dtype=np.int64))

    def fingerprint(self):
        return {"weights": {}, "licences": {}, "versions": {}}


def _dots(config, device):
    return [ActionUnitCheck(DotReader(), config.verify.checks[0].policy)]


@pytest.fixture
def moody(monkeypatch):
    """Replace what paints and what measures."""
    monkeypatch.setattr("pipelines.procedural.source.ProceduralSource", DottedSource)
    monkeypatch.setattr("cluster.worker.load_checks", _dots)


@pytest.fixture
def make_run(make_config, moody):
    def make(folder, expressions, samples):
        identities = {
            "expressions_per_identity": samples // 8,
            "quotas": {"person": {"woman": 0.75}},
        }
        return make_config(
            folder,
            samples=samples,
            expressions=expressions,
            identities=identities,
            pipeline={"batch_size": 12, "au_noise": 0.0},
            verify={"max_attempts": 8, "max_replacements": 8},
        )

    return make


def test_delivered_strata_hold_the_quotas_and_the_card_gives_the_drift_inside(make_run):
    config = make_run("out", BY_CATEGORY, 640)
    summary = generate(config, "inline")
    statistics = read_statistics(Storage(config.output.path))
    surprised = statistics.strata[2]
    rejected = sum(summary.rejected.values())
    assert rejected / (rejected + surprised.delivered) == pytest.approx(0.9, abs=0.03)
    assert sum(stratum.drawn for stratum in statistics.strata) == 640
    for stratum in statistics.strata:
        assert stratum.asked == pytest.approx(CATEGORIES[stratum.name])
        assert stratum.delivered / statistics.total == pytest.approx(stratum.asked, abs=0.01)
    women = statistics.slots["person"]["woman"] / statistics.total
    assert women == pytest.approx(0.75, abs=0.01)

    stratum, au, drawn, delivered = drifts(statistics.strata, AUS)[0]
    assert (stratum, au, drawn) == ("surprised", "AU5", pytest.approx(0.66, abs=0.07))
    assert delivered < drawn - 0.1
    card = (Path(config.output.path) / "README.md").read_text()
    drift = f"{100 * drawn:.1f} % | {100 * delivered:.1f} % | {100 * (delivered - drawn):+.1f} %"
    assert f"| surprised | AU5 | {drift} |" in card
    assert "| surprised | 40.0 % | 40.0 % | " in card
    assert "| person | woman | 75.0 % | " in card
    report = describe_comparison(compare(config.output.path)).splitlines()
    (line,) = (line for line in report if line.startswith("surprised     AU5 "))
    assert line.split()[2:4] == [f"{drawn:.1%}", f"{delivered:.1%}"]
    assert next(line.split()[:3] for line in report if line.startswith("surprised ")) == [
        "surprised", "40.0%", "40.0%"
    ]  # fmt: skip


def test_joint_cells_hold_too_and_the_bytes_depend_on_the_configuration_alone(
    make_run, digests, monkeypatch
):
    joint = [
        {"category": "happy", "aus": {"AU6": "4-5"}, "share": 0.2},
        {"category": "surprised", "aus": {"AU26": "2-3"}, "share": 0.3},
        {"category": "surprised", "aus": {"AU26": "D-E"}, "share": 0.3},
    ]
    expressions = {**BY_CATEGORY, "quotas": {"joint": joint}}
    config, again = make_run("one", expressions, 120), make_run("two", expressions, 120)
    generate(config, "inline")
    statistics = read_statistics(Storage(config.output.path))
    names = [stratum.name for stratum in statistics.strata]
    assert names == ["happy, AU6 4-5", "surprised, AU26 2-3", "surprised, AU26 4-5", "other"]
    for stratum in statistics.strata:
        assert stratum.delivered / statistics.total == pytest.approx(stratum.asked, abs=0.01)
    monkeypatch.setattr("cluster.executors.IN_FLIGHT", 1)
    generate(again, "inline")
    assert digests(config) == digests(again)
