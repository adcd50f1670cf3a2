import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_files import write_bp4d, write_disfa

from samplers import load_prior
from samplers.priors import empirical
from synthgen.action_units import AUS
from synthgen.errors import ConfigError, LabelsError

TABLE = """who,AU1,AU6,AU12,AU9,w
ann,0,0,0,9e-1,1
ann,1.5,2,3,0,2
ann,1.5,2,3,0,2
bob,2.5,4,5,0,1
bob,0,0,0.3,0,4
bob,0,1,1,0,0
"""


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    path.write_text(TABLE)
    return path


@pytest.fixture(scope="module")
def smooth(table):
    return _prior(table, smoothing=0.3)


def _prior(path, **keys):
    return load_prior({"prior": "empirical", "labels": str(path), "format": "csv", **keys})


def _shares(vectors):
    rows, counts = np.unique(vectors[:, [0, 4, 5, 6]], axis=0, return_counts=True)
    return {tuple(row.tolist()): n / len(vectors) for row, n in zip(rows, counts, strict=True)}


def test_rows_come_as_often_as_they_stand_there(table):
    prior = _prior(table)
    vectors = prior.sample(60_000, seed=0)
    assert vectors.dtype == np.float32
    assert len(prior.rows) == 5
    expected = {(0, 0, np.float32(0.9).item(), 0): 1, (1.5, 2, 0, 3): 2, (2.5, 4, 0, 5): 1}
    expected |= {(0, 0, 0, 0): 1, (0, 1, 0, 1): 1}
    assert _shares(vectors) == pytest.approx(
        {row: count / 6 for row, count in expected.items()}, abs=0.01
    )


def test_rows_come_by_weight_and_filter(table):
    weighted = _shares(_prior(table, weights="w").sample(60_000, seed=0))
    assert weighted == pytest.approx(
        {(0, 0, np.float32(0.9).item(), 0): 0.1, (1.5, 2, 0, 3): 0.4, (2.5, 4, 0, 5): 0.1}
        | {(0, 0, 0, 0): 0.4},
        abs=0.01,
    )
    chosen = _shares(_prior(table, where={"who": "bob", "w": [1, 4]}).sample(9_000, seed=0))
    assert chosen == pytest.approx({(2.5, 4, 0, 5): 0.5, (0, 0, 0, 0): 0.5}, abs=0.03)


@pytest.mark.parametrize("smoothing", [0.0, 0.6])
def test_rates_joint_probabilities_and_means_are_those_announced(table, smoothing):
    prior = _prior(table, smoothing=smoothing)
    vectors = prior.sample(100_000, seed=3).astype(np.float64)
    active = vectors != 0
    assert np.abs(active.mean(axis=0) - prior.rates()).max() < 0.006
    assert np.abs(active.T.astype(float) @ active / len(vectors) - prior.joint()).max() < 0.006
    assert np.array_equal(prior.joint().diagonal(), prior.rates())
    for au in np.flatnonzero(prior.rates()):
        mean = vectors[active[:, au], au].mean()
        assert mean == pytest.approx(prior.mean_intensities()[au], abs=0.02)


def test_smoothing_keeps_active_aus_active_and_the_range(table):
    prior = _prior(table, smoothing=1.0, active_from=0.8)
    vectors = prior.sample(5_000, seed=0)
    assert np.array_equal(vectors != 0, _prior(table).sample(5_000, seed=0) != 0)
    assert vectors[vectors != 0].min() == np.float32(0.8)
    assert vectors.max() == 5
    assert len(np.unique(vectors)) > 1000


def test_a_replacement_shows_the_same_active_aus(table):
    prior = _prior(table, smoothing=0.2)
    strata = prior.strata(1, "train", 0, 500)
    first = prior.vectors(1, "train", 0, strata)
    again = prior.vectors(1, "train", 0, strata, replacement=1)
    assert np.array_equal(first != 0, again != 0)
    assert not np.array_equal(first, again)
    names = {prior.stratum_name(stratum) for stratum in strata.tolist()}
    assert names == {"neutral", "AU9", "AU6+AU12", "AU1+AU6+AU12"}


@settings(max_examples=25)
@given(st.integers(0, 2**63 - 1), st.integers(0, 10**9), st.integers(0, 2))
def test_a_row_is_the_same_alone_and_in_bulk(smooth, seed, start, replacement):
    strata = smooth.strata(seed, "test", start, start + 9)
    bulk = smooth.vectors(seed, "test", start, strata, replacement)
    for row in range(9):
        alone = smooth.strata(seed, "test", start + row, start + row + 1)
        assert alone[0] == strata[row]
        vector = smooth.vectors(seed, "test", start + row, alone, replacement)
        assert np.array_equal(vector[0], bulk[row])


def test_smoothing_changes_no_choice_of_a_row(table):
    plain, smooth = (_prior(table, smoothing=s).sample(2_000, seed=4) for s in (0.0, 0.01))
    assert np.abs(plain - smooth).max() < 0.06


def test_the_order_of_equal_labels_and_their_pieces_decide_nothing(table, tmp_path, monkeypatch):
    header, *rows = TABLE.splitlines()
    path = tmp_path / "labels.csv"
    path.write_text("\n".join([header, *reversed(rows)]) + "\n")
    monkeypatch.setattr(empirical, "_PENDING_ROWS", 1)
    assert np.array_equal(_prior(path).sample(500, seed=0), _prior(table).sample(500, seed=0))


def test_disfa_frames_are_drawn(tmp_path):
    vectors = np.zeros((40, 12), dtype=np.float32)
    vectors[:10, AUS.index("AU12")] = 4
    write_disfa(tmp_path, vectors)
    prior = load_prior({"prior": "empirical", "labels": str(tmp_path), "format": "disfa"})
    assert prior.rates()[AUS.index("AU12")] == 0.25
    assert set(np.unique(prior.sample(100, seed=0))) == {0, 4}
    assert prior.notes() == ()


def test_an_intensity_that_is_not_coded_is_anywhere(tmp_path):
    vectors = np.zeros((40, 12), dtype=np.float32)
    vectors[:20, 0], vectors[:20, AUS.index("AU12")] = 2, 2
    write_bp4d(tmp_path, vectors)
    prior = load_prior({"prior": "empirical", "labels": str(tmp_path), "format": "bp4d"})
    drawn = prior.sample(20_000, seed=0)
    drawn = drawn[drawn[:, 0] != 0]
    assert (drawn[:, AUS.index("AU12")] == 2).all()
    assert drawn[:, 0].min() < 0.55
    assert drawn[:, 0].max() > 4.95
    assert drawn[:, 0].mean() == pytest.approx(prior.mean_intensities()[0], abs=0.05)
    assert prior.notes()[:3:2] == (
        f"{tmp_path.name}: 2 rows left out: some AU not coded",
        "AU5, AU9, AU20, AU25, AU26: not coded by the labels, absent from the prior",
    )


def test_the_checksum_of_the_labels_is_told(table, tmp_path):
    other = tmp_path / "labels.csv"
    other.write_text(TABLE + "ann,0,0,0,0,1\n")
    (name, checksum), (_, changed) = (
        next(iter(_prior(path).fingerprint().items())) for path in (table, other)
    )
    assert name == "labels.csv"
    assert len(checksum) == 64
    assert checksum != changed


def test_a_mixture_tells_the_checksum_of_each_of_its_labels(table, tmp_path):
    other = tmp_path / "labels.csv"
    other.write_text(TABLE + "ann,0,0,0,0,1\n")
    parts = [{"prior": "empirical", "labels": str(p), "format": "csv"} for p in (table, other)]
    found = load_prior({"prior": "mixture", "of": parts}).fingerprint()
    assert list(found) == ["1/labels.csv", "2/labels.csv"]
    assert len(set(found.values())) == 2


def test_no_rows_and_too_many_rows_are_refused(table, monkeypatch):
    with pytest.raises(LabelsError) as caught:
        _prior(table, where={"who": "eve"})
    assert str(caught.value) == f"no row of {table} is left to draw from"
    monkeypatch.setattr(empirical, "MAX_ROWS", 3)
    with pytest.raises(LabelsError) as caught:
        _prior(table)
    assert str(caught.value) == (
        f"{table} holds more than 3 different rows; choose fewer with where, or fit a prior to "
        "them with: synthgen prior fit"
    )


def test_what_is_not_allowed_in_the_section_is_refused(table):
    with pytest.raises(ConfigError) as caught:
        _prior(table, where={"w": [4, 1]})
    assert str(caught.value) == (
        "expressions: where: w is [4.0, 1.0]; it must be a value or a range [low, high]"
    )
    with pytest.raises(ConfigError) as caught:
        _prior(table, smoothing=-1)
    assert str(caught.value) == "expressions: smoothing is -1; it must be at least 0"
