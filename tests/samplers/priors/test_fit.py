from functools import cache

import numpy as np
import pytest
from label_files import (
    write_bp4d,
    write_csv,
    write_disfa,
    write_libreface,
    write_openface,
)

from samplers import load_prior
from samplers.priors import fit as fit_file
from samplers.priors.fit import FittedPrior, LabelCounts, write_fit
from samplers.priors.labels import LabelBatch, open_labels
from synthgen.action_units import AUS
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import LabelsError, OutputError

ROWS = 8_000
TRUTH = {
    "prior": "copula",
    "marginals": {
        "AU1": {"rate": 0.2, "levels": {"A": 4.0, "B": 3.0, "C": 2.0, "D": 1.0}},
        "AU2": {"rate": 0.15, "levels": {"A": 1.0, "E": 1.0}},
        "AU6": {"rate": 0.3, "beta": {"a": 2.0, "b": 3.0}},
        "AU12": {"rate": 0.4, "quantiles": [0.5, 1.2, 2.0, 3.1, 5.0]},
        "AU15": {"rate": 0.1},
        "AU17": {"rate": 0.05, "levels": {"B": 1.0}},
    },
    "joint": {"AU1+AU2": 0.11, "AU6+AU12": 0.25, "AU12+AU15": 0.01},
}
WRITERS = {
    "csv": (write_csv, "labels.csv"),
    "openface": (write_openface, "labels.csv"),
    "libreface": (write_libreface, "labels.csv"),
    "disfa": (write_disfa, "disfa"),
    "bp4d": (write_bp4d, "bp4d"),
}


@pytest.fixture(scope="module")
def sections_of(tmp_path_factory):
    """Draw from the truth, write labels, fit; draw from the fit, write labels, fit again."""

    @cache
    def fit_twice(layout):
        write, name = WRITERS[layout]
        folder = tmp_path_factory.mktemp(layout)
        sections, prior = [], load_prior(TRUTH)
        for turn in ("first", "second"):
            labels = write(folder / turn / name, prior.sample(ROWS, seed=len(sections)))
            fit = write_fit(labels, layout, folder / f"{turn}.yaml")
            assert fit.rows == ROWS
            prior = load_prior(folder / f"{turn}.yaml")
            sections.append(read_yaml((folder / f"{turn}.yaml").read_text()))
        return sections

    return fit_twice


def _within_sampling_error(one, other):
    """Allow 5 standard errors of a difference of two shares, and half a row."""
    return abs(one - other) < 5 * np.sqrt(max(one, 1 / ROWS) * 2 / ROWS) + 0.5 / ROWS


@pytest.mark.parametrize("layout", WRITERS)
def test_fit_sample_fit_returns_rates_and_co_occurrences(sections_of, layout):
    truth = load_prior(TRUTH)
    first, second = sections_of(layout)
    rates, joint = truth.rates(), truth.joint()
    for section in (first, second):
        for au, marginal in section["marginals"].items():
            assert _within_sampling_error(marginal["rate"], rates[AUS.index(au)])
        for pair, share in section["joint"].items():
            one, other = (AUS.index(au) for au in pair.split("+"))
            assert _within_sampling_error(share, joint[one, other])
    assert first["marginals"].keys() == second["marginals"].keys()
    assert first["joint"].keys() == second["joint"].keys()


@pytest.mark.parametrize("layout", ["disfa", "bp4d"])
def test_fit_sample_fit_returns_levels(sections_of, layout):
    first, second = sections_of(layout)
    assert set(first["marginals"]["AU6"]["levels"]) == set("ABCDE")
    for au, marginal in first["marginals"].items():
        assert marginal.keys() == second["marginals"][au].keys()
        for level, rows in marginal.get("levels", {}).items():
            again = second["marginals"][au]["levels"][level]
            assert _within_sampling_error(rows / ROWS, again / ROWS)


@pytest.mark.parametrize("layout", ["csv", "openface", "libreface"])
def test_fit_sample_fit_returns_quantiles(sections_of, layout):
    first, second = sections_of(layout)
    for au, marginal in first["marginals"].items():
        if marginal["rate"] == 0:
            continue
        once, again = (np.array(s["marginals"][au]["quantiles"]) for s in (first, second))
        assert len(once) == 21
        # As distributions: the share below each quantile of the one, in the other.
        share = np.interp(once[1:-1], again, np.linspace(0, 1, 21))
        active = marginal["rate"] * ROWS
        assert np.abs(share - np.linspace(0, 1, 21)[1:-1]).max() < 1.95 * np.sqrt(2 / active) + 0.01


def test_a_fit_says_where_it_comes_from_and_what_it_lacks(tmp_path):
    vectors = load_prior(TRUTH).sample(200, seed=1)
    fit = write_fit(write_bp4d(tmp_path / "bp4d", vectors), "bp4d", tmp_path / "prior.yaml")
    assert fit.warnings == (
        "bp4d: 2 rows left out: some AU not coded",
        "bp4d: AU7, AU10, AU14: not among the 12 AUs of the prior, left out; name them by --aus "
        "(key: action_units) to keep them",
        "AU5, AU9, AU20, AU25, AU26: not coded by the labels, absent from the prior",
        "AU1, AU2, AU4, AU15: the labels code occurrence alone; intensities are uniform from 0.5 "
        "to 5",
        "AU4: never active",
        "AU15, AU17: active in fewer than 30 rows; uncertain",
    )
    text = (tmp_path / "prior.yaml").read_text()
    assert text.startswith(
        "# Fitted by: synthgen prior fit\n"
        "# bp4d: 2 rows left out: some AU not coded\n"
        "# bp4d: AU7, AU10, AU14: not among the 12 AUs of the prior, left out; name them by --aus "
        "(key: action_units) to keep them\n"
        "# AU5, AU9, AU20, AU25, AU26: not coded by the labels, absent from the prior\n"
    )
    checksum = open_labels(tmp_path / "bp4d", "bp4d").sha256()
    assert read_yaml(text)["source"] == (
        f"fitted to 200 rows of bp4d (bp4d, 8 files, sha256 {checksum}); an AU is active from "
        "intensity 0.5; 2 rows left out: some AU not coded"
    )
    assert "  AU4: {rate: 0.0}  # active in 0 of 200 rows\n" in text


def test_counts_stand_beside_the_numbers(tmp_path):
    vectors = np.zeros((100, 12), dtype=np.float32)
    vectors[:40, AUS.index("AU6")] = 1
    vectors[30:70, AUS.index("AU12")] = 3
    write_fit(write_disfa(tmp_path / "d", vectors), "disfa", tmp_path / "prior.yaml")
    lines = (tmp_path / "prior.yaml").read_text().splitlines()
    assert (
        "  AU6: {rate: 0.4, levels: {A: 40, B: 0, C: 0, D: 0, E: 0}}  # active in 40 of 100 rows"
    ) in lines
    assert "  AU6+AU12: 0.100000  # 10 rows" in lines


def test_never_together_in_few_rows_is_half_a_row():
    vectors = np.zeros((50, 12), dtype=np.float32)
    vectors[:10, 0], vectors[10:20, 1], vectors[:10, 2], vectors[:, 3] = 1, 1, 1, 1
    counts = LabelCounts.of([LabelBatch(vectors, np.ones(50))])
    joint = FittedPrior(counts, AUS[:5], ()).joint()
    assert joint == {"AU1+AU2": 0.01, "AU1+AU4": 0.19, "AU2+AU4": 0.01}


def test_co_occurrences_of_no_copula_are_repaired_and_told(tmp_path):
    section = {"prior": "emotions", "categories": ["happy", "sad", "surprised"], "variants": False}
    labels = write_csv(tmp_path / "labels.csv", load_prior(section).sample(3000, seed=0))
    fit = write_fit(labels, "csv", tmp_path / "prior.yaml")
    repair = read_yaml((tmp_path / "prior.yaml").read_text())["max_repair"]
    assert 0.05 < repair < 1
    assert fit.warnings[-1] == (
        "the labels' co-occurrences are those of no Gaussian copula: latent correlations move by "
        f"up to {repair:g}; synthgen plan tells which, and the prior empirical keeps all"
    )
    assert load_prior(tmp_path / "prior.yaml").notes()


def test_a_fit_of_no_rows_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("frame, success, AU01_r\n1, 0, 0\n2, 0, 0\n")
    with pytest.raises(LabelsError) as caught:
        write_fit(path, "openface", tmp_path / "prior.yaml")
    assert str(caught.value) == (
        f"no row of {path} is left to fit a prior to; 2 rows left out: success 0"
    )
    assert not (tmp_path / "prior.yaml").exists()


def test_a_file_that_is_there_is_kept(tmp_path):
    to = tmp_path / "prior.yaml"
    to.write_text("mine")
    with pytest.raises(OutputError) as caught:
        write_fit(tmp_path / "labels.csv", "csv", to)
    assert str(caught.value) == f"{to} is there already; choose another file with --to"
    assert to.read_text() == "mine"


def test_what_is_counted_does_not_grow_with_the_rows():
    batch = LabelBatch(load_prior(TRUTH).sample(1000, seed=0), np.ones(1000))
    counts = LabelCounts.of(batch for _ in range(300))
    assert counts.rows == counts.sets.counts.sum() == 300_000
    assert counts.histogram.nbytes + counts.sets.counts.nbytes < 2**20
    assert fit_file.make_section(FittedPrior(counts, AUS, ()), "x")["prior"] == "copula"
