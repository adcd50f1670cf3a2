"""Scales of labels: found from the values, said, and decided by the user."""

import numpy as np
import pytest
from label_files import write_bp4d, write_csv, write_disfa, write_libreface, write_openface

from samplers import load_prior
from samplers.priors.fit import write_fit
from samplers.priors.labels import Reading, open_labels
from synthgen.action_units import AUS
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import LabelsError

AU12 = AUS.index("AU12")


@pytest.fixture(scope="module")
def vectors():
    section = {
        "prior": "copula",
        "marginals": {
            "AU12": {"rate": 0.3, "quantiles": [0.6, 1.2, 2.0, 3.1, 4.8]},
            "AU4": {"rate": 0.2, "levels": {"A": 1.0, "D": 1.0}},
            "AU25": {"rate": 0.4},
        },
    }
    return load_prior(section).sample(2000, seed=0)


def _rows(labels):
    return np.concatenate([batch.intensities for batch in labels.batches()])


def _refused(*arguments, **keywords):
    with pytest.raises(LabelsError) as caught:
        open_labels(*arguments, **keywords)
    return str(caught.value)


@pytest.mark.parametrize(("write", "layout"), [(write_csv, "csv"), (write_libreface, "libreface")])
@pytest.mark.parametrize(("scale", "factor"), [(1, 0.2), (5, 1.0), (100, 20.0)])
def test_the_values_tell_the_scale(tmp_path, vectors, write, layout, scale, factor):
    path = write(tmp_path / "labels.csv", vectors * np.float32(factor))
    labels = open_labels(path, layout)
    rows = _rows(labels)
    assert np.abs(rows - np.where(vectors < 0.5, 0, vectors)).max() < 0.5
    assert np.abs(rows - vectors)[vectors > 0.51].max() < 0.0031
    highest = float(f"{vectors.max() * factor:.3f}")
    done = {1: " and multiplied by 5", 5: "", 100: " and divided by 20"}[scale]
    assert labels.notes == (
        f"labels.csv: the highest value is {highest:.4g}, so all are taken to be on the scale "
        f"0–{scale}{done}; give another scale (--scale) if it is not so",
        *(unread := labels.notes[1:]),
    )
    assert [note.split(" left out")[0] for note in unread] == [
        {
            "csv": "labels.csv: AU7: not among the 12 AUs of the prior,",
            "libreface": "labels.csv: AU7, AU10: columns of occurrence alone (au_7, au_10),",
        }[layout]
    ]
    assert labels.reading == {1: "scale 1", 5: "", 100: "scale 100"}[scale]
    said = open_labels(path, layout, reading=Reading(scale=scale))
    assert np.array_equal(_rows(said), rows)
    assert said.notes == unread


def test_a_table_on_0_to_1_gives_the_rates_and_quantiles_of_its_intensities(tmp_path, vectors):
    fitted = {}
    for name, factor in (("five", 1.0), ("one", 0.2)):
        labels = write_csv(tmp_path / name / "labels.csv", vectors * np.float32(factor))
        write_fit(labels, "csv", tmp_path / f"{name}.yaml")
        fitted[name] = read_yaml((tmp_path / f"{name}.yaml").read_text())["marginals"]["AU12"]
    assert fitted["one"]["rate"] == pytest.approx(fitted["five"]["rate"], abs=0.005)
    assert fitted["one"]["quantiles"] == pytest.approx(fitted["five"]["quantiles"], abs=0.02)
    assert fitted["one"]["quantiles"][-1] > 4.7


def test_the_user_decides_what_values_up_to_1_are(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU12\n0,0.9\n0.6,0\n0,0\n")
    assert _rows(open_labels(path, "csv"))[:, AU12].tolist() == [4.5, 0, 0]
    as_they_stand = open_labels(path, "csv", reading=Reading(scale=5))
    assert _rows(as_they_stand)[:, AU12].tolist() == [pytest.approx(0.9), 0, 0]


def test_occurrences_give_rates_and_no_intensities(tmp_path, vectors):
    path = write_csv(tmp_path / "labels.csv", (vectors > 0).astype(np.float32))
    labels = open_labels(path, "csv")
    assert labels.occurrence_only == labels.aus == AUS
    assert labels.notes[:-1] == (
        "labels.csv: all values are 0 or 1, so they are taken for occurrences, which tell rates "
        "and no intensities; say scale (--scale) 5 if they are intensities",
    )
    fit = write_fit(path, "csv", tmp_path / "prior.yaml")
    assert fit.warnings[2] == (
        f"{', '.join(AUS)}: the labels code occurrence alone; intensities are uniform from 0.5 to 5"
    )
    marginals = read_yaml((tmp_path / "prior.yaml").read_text())["marginals"]
    assert marginals["AU12"] == {"rate": round(float((vectors[:, AU12] > 0).mean()), 6)}
    section = {"prior": "empirical", "labels": str(path), "format": "csv"}
    drawn = load_prior(section).sample(5000, seed=0)[:, AU12]
    assert drawn.max() > 4.9
    graded = load_prior({**section, "scale": 5}).sample(5000, seed=0)[:, AU12]
    assert set(graded.tolist()) == {0.0, 1.0}


def test_a_number_that_is_no_occurrence_is_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU12\n0,1\n0,0.6\n1,0\n")
    assert _refused(path, "csv", reading=Reading(scale="occurrence")) == (
        f"{path}, line 3: AU12 is '0.6'; it must be 0 or 1"
    )


def test_values_slightly_outside_are_clamped_and_counted(tmp_path):
    path = tmp_path / "video.csv"
    path.write_text("au_1_intensity,au_12_intensity\n-0.02,5.003\n5.02,2\n0,-0.3\n")
    labels = open_labels(path, "libreface")
    assert _rows(labels)[:, [0, AU12]].tolist() == [[0, 5], [5, 2], [0, 0]]
    assert labels.notes[1] == (
        "video.csv: 4 values outside of 0–5 (down to -0.3, up to 5.02) were clamped to it"
    )
    path.write_text("au_1_intensity,au_12_intensity\n-0.02,1.003\n0.5,0\n")
    labels = open_labels(path, "libreface")
    assert _rows(labels)[:, [0, AU12]].tolist() == [[0, 5], [2.5, 0]]
    assert labels.notes[1] == (
        "video.csv: 2 values outside of 0–1 (down to -0.02, up to 1.003) were clamped to it"
    )


def test_all_lines_far_outside_are_counted_and_the_first_are_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU12\n" + "1.5,4\n7,0\n" * 20)
    assert _refused(path, "csv") == (
        f"{path}, line 3: AU1 is '7'; it must be a number from 0 to 5; 20 lines in all are "
        "malformed, the next line 5: AU1 is '7'; line 7: AU1 is '7'; line 9: AU1 is '7'"
    )
    path.write_text("AU1,AU12\n" + "1.5,4\nx,0\n" * 3)
    assert _refused(path, "csv") == (
        f"{path}, line 3: AU1 is 'x'; it must be a number from 0 to 5; 3 lines in all are "
        "malformed, the next line 5: AU1 is 'x'; line 7: AU1 is 'x'"
    )


def test_openface_stays_on_its_own_scale_and_says_where_nothing_exceeds_1(tmp_path):
    vectors = np.zeros((5, 12), dtype=np.float32)
    vectors[:, AU12] = [0.9, 0.7, 0, 0.2, 0.6]
    labels = open_labels(write_openface(tmp_path / "video.csv", vectors), "openface")
    assert _rows(labels)[:, AU12].tolist() == [np.float32(v) for v in (0.9, 0.7, 0, 0, 0.6)]
    assert labels.reading == ""
    assert labels.notes[:-1] == (
        "video.csv: the highest value is 0.9, and all were read on the scale 0–5 of this format; "
        "if they were divided by 5, say scale 1 (--scale 1)",
    )


def test_a_folder_has_one_scale(tmp_path):
    for name, values in (("a", "4.5\n2\n"), ("b", "3.5\n1.5\n"), ("c", "0.5\n0.75\n")):
        (tmp_path / f"{name}.csv").write_text(f"AU12\n{values}")
    labels = open_labels(tmp_path, "csv")
    assert _rows(labels)[:, AU12].tolist() == [4.5, 2, 3.5, 1.5, 0.5, 0.75]
    assert labels.notes == (
        f"{tmp_path.name}: the highest value is 4.5, so all are taken to be on the scale 0–5; give "
        "another scale (--scale) if it is not so",
        f"{tmp_path.name}: 1 of 3 files: nothing above 1 (c.csv), read on the same "
        "scale as the others; if theirs is another, read them apart",
    )
    (tmp_path / "b.csv").write_text("AU12\n0.25\n0.5\n")
    assert _refused(tmp_path, "csv") == (
        f"{tmp_path}: the files of one folder must have one scale, and these look different: "
        f"{tmp_path / 'a.csv'} (up to 4.5), {tmp_path / 'b.csv'} (up to 0.5); say which it is "
        "(--scale 5, 1, 100 or occurrence; key: scale), or read them apart"
    )
    (tmp_path / "b.csv").write_text("AU12\n75\n30\n")
    assert "these look different" in _refused(tmp_path, "csv")


def test_layouts_of_whole_levels_have_no_other_scale(tmp_path):
    vectors = np.zeros((6, 12), dtype=np.float32)
    for write, layout in ((write_disfa, "disfa"), (write_bp4d, "bp4d")):
        root = write(tmp_path / layout, vectors)
        assert _refused(root, layout, reading=Reading(scale=1)) == (
            f"{root}: scale is 1; format {layout!r} codes levels from 0 to 5"
        )


def test_a_new_reading_is_part_of_the_identity_and_an_old_one_is_not(tmp_path):
    path = tmp_path / "labels.csv"
    section = {"prior": "empirical", "labels": str(path), "format": "csv"}
    path.write_text("AU1,AU12\n0,0.9\n0.6,0\n")
    assert load_prior(section).fingerprint()["labels.csv read"] == "scale 1"
    path.write_text("AU1,AU12\n0,4\n3,0\n,0\n")
    assert list(load_prior(section).fingerprint()) == ["labels.csv"]
    path.write_text("AU1,AU12\n0,4\n,0\n,0\n")
    assert load_prior(section).fingerprint()["labels.csv read"] == "without AU1"


def test_the_plan_tells_how_labels_were_read(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU12\n0,90\n60,0\n,5\n")
    prior = load_prior({"prior": "empirical", "labels": str(path), "format": "csv"})
    assert prior.notes()[:2] == (
        "labels.csv: the highest value is 90, so all are taken to be on the scale 0–100 and "
        "divided by 20; give another scale (--scale) if it is not so",
        "labels.csv: 1 row left out: some AU not coded",
    )
