"""Tables of other programs: py-feat's, and those that are given for another format."""

import numpy as np
import pytest
import yaml

from samplers.priors.fit import write_fit
from samplers.priors.labels import Reading, open_labels
from synthgen.action_units import AUS
from synthgen.errors import LabelsError

PYFEAT = (
    "FaceRectX,FaceRectY,FaceScore,AU01,AU07,AU12,AU43,anger,input\n"
    "10,10,0.99,0.1,0.9,0.50,0.2,0.1,a.jpg\n"
    "10,10,0.98,0.7,0.9,0.49,0.2,0.1,b.jpg\n"
    "10,10,0.97,,,,,,c.jpg\n"
    "10,10,0.96,1.0,0.9,1.02,0.2,0.1,d.jpg\n"
)
KEEP = (
    "not among the 12 AUs of the prior, left out; name them by --aus (key: action_units) to keep "
    "them"
)
PROBABILITIES = (
    "labels.csv: values are probabilities: an AU is there from 0.5 on, which tells rates and no "
    "intensities; say scale 1 (--scale 1) to take them for intensities"
)


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(PYFEAT)
    return path


def rows(labels):
    found = np.concatenate([batch.intensities for batch in labels.batches()])
    return found[:, [AUS.index("AU1"), AUS.index("AU12")]].tolist()


def refused(*arguments):
    with pytest.raises(LabelsError) as caught:
        open_labels(*arguments)
    return str(caught.value)


def test_probabilities_of_pyfeat_tell_occurrences(labels, tmp_path):
    opened = open_labels(labels, "pyfeat")
    assert rows(opened) == [[0, 1], [1, 0], [1, 1]]
    assert opened.occurrence_only == opened.aus == ("AU1", "AU12")
    assert opened.notes == (
        PROBABILITIES,
        "labels.csv: 1 row left out: some AU not coded",
        f"labels.csv: AU7, AU43: {KEEP}",
    )
    write_fit(labels, "pyfeat", tmp_path / "prior.yaml")
    fitted = yaml.safe_load((tmp_path / "prior.yaml").read_text())
    assert fitted["marginals"] == {"AU1": {"rate": 0.666667}, "AU12": {"rate": 0.666667}}


def test_the_user_may_take_probabilities_for_intensities(labels):
    opened = open_labels(labels, "pyfeat", reading=Reading(scale=1))
    assert rows(opened) == [[0.5, 2.5], [3.5, np.float32(2.45)], [5, 5]]
    assert opened.occurrence_only == ()


def test_what_is_no_probability_is_refused(labels):
    labels.write_text(PYFEAT.replace("0.49", "3.2"))
    assert refused(labels, "pyfeat") == (
        f"{labels}, line 3: AU12 is '3.2'; it must be a number from 0 to 1"
    )


def test_pyfeats_table_read_as_csv_is_told(labels):
    assert open_labels(labels, "csv").notes[0] == (
        "labels.csv: the columns are py-feat's, whose values are probabilities; say format pyfeat "
        "(--format pyfeat) to take them for occurrences and not for intensities"
    )
    assert refused(labels, "openface").endswith("its columns are those of format 'pyfeat'")


def test_librefaces_table_read_as_csv_is_refused(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("frame_idx,au_1,au_12,au_1_intensity,au_12_intensity\n0,1,0,3.2,0.1\n")
    assert refused(path, "csv") == (
        f"{path}, line 1: column au_1_intensity is LibreFace's, and format 'csv' would read the "
        "occurrences beside it; say format libreface (--format libreface; key: format)"
    )
    assert rows(open_labels(path, "libreface")) == [[np.float32(3.2), 0]]
