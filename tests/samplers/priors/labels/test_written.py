"""Label tables as people and programs write them, and files that are none."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from label_files import write_bp4d, write_csv, write_disfa, write_libreface, write_openface

from samplers import load_prior
from samplers.priors.fit import write_fit
from samplers.priors.labels import Reading, open_labels
from synthgen.action_units import AUS
from synthgen.errors import LabelsError, SynthgenError

AU12 = AUS.index("AU12")
VECTORS = np.zeros((6, 12), dtype=np.float32)
VECTORS[1:3, AU12] = [5, 2.25]
VECTORS[2:5, AUS.index("AU6")] = [1, 4.5, 0.75]
PLAIN = "image,AU6,AU12\na,0,4.5\nb,1.25,0\n"
ROWS = [[0, 4.5], [1.25, 0]]


def _rows(labels):
    rows = np.concatenate([batch.intensities for batch in labels.batches()])
    return rows[:, [AUS.index("AU6"), AU12]].tolist()


def _refused(*arguments, **keywords):
    with pytest.raises(LabelsError) as caught:
        for _ in open_labels(*arguments, **keywords).batches():
            pass
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        PLAIN.replace(",", ";").replace(".", ",").encode(),
        PLAIN.replace(",", "\t").replace(".", ",").encode(),
        PLAIN.replace("4.5", '"4,5"').replace("1.25", '"1,25"').encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-16-le"),
        PLAIN.replace(",", ";").replace(".", ",").encode("utf-16-be"),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace("\n", "\r").encode(),
        PLAIN.replace("a,0", '"two\nlines",0').encode(),
        PLAIN.replace("a,0", "\xe9,0").encode("latin-1"),
    ],
)
def test_separators_decimals_and_encodings_are_found(tmp_path, content):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    assert _rows(open_labels(path, "csv")) == ROWS


def test_letters_are_levels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU6,AU12\n0,A\nB,0\nC,D\ne,0\n")
    labels = open_labels(path, "csv")
    assert _rows(labels) == [[0, 1], [2, 0], [3, 4], [5, 0]]
    assert labels.notes == ("labels.csv: letters A to E were read as intensities 1 to 5",)


def test_letters_and_odd_cells_may_begin_far_down(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU6,AU12\n" + "2,0\n" * 400_000 + "-1.#IND,1\n0,E\n")
    labels = open_labels(path, "csv")
    rows = _rows(labels)
    assert (len(rows), rows[-1]) == (400_001, [0, 5])


@pytest.mark.parametrize("cell", ["-1.#IND", "1.#QNAN", " nan", "N/A", "#N/A", "-nan(ind)", "  "])
def test_cells_that_say_no_value(tmp_path, cell):
    path = tmp_path / "labels.csv"
    path.write_text(f"AU6,AU12\n0,4.5\n{cell},2\n1.25,0\n")
    labels = open_labels(path, "csv")
    assert _rows(labels) == ROWS
    assert labels.left_out == {"some AU not coded": 1}


@pytest.mark.parametrize("code", ["9", "999", "-1", "x"])
def test_missing_codes_are_those_that_the_user_names(tmp_path, code):
    path = tmp_path / "labels.csv"
    path.write_text(f"AU6,AU12\n0,4.5\n{code},2\n1.25,0\n")
    labels = open_labels(path, "csv", reading=Reading.of(missing=[code]))
    assert _rows(labels) == ROWS
    assert labels.left_out == {"some AU not coded": 1}
    section = {"prior": "empirical", "labels": str(path), "format": "csv", "missing": [code]}
    assert load_prior(section).rates()[AU12] == 0.5
    with pytest.raises(LabelsError) as caught:
        Reading.of(missing=["0"])
    assert str(caught.value) == "0 cannot be a missing code: it says that an AU is absent"


def test_missing_codes_of_disfa(tmp_path):
    root = write_disfa(tmp_path, VECTORS, subjects=1)
    path = root / "ActionUnit_Labels" / "SN001" / "SN001_au12.txt"
    path.write_text("1,0\n2,5\n3,-1\n4,0\n5,0\n6,0\n")
    labels = open_labels(root, "disfa", reading=Reading.of(missing=[-1]))
    assert labels.left_out == {"some AU not coded": 1}
    assert len(_rows(labels)) == 5


def test_an_au_coded_in_few_rows_is_left_out_and_told(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU6,AU12\n" + "1,0,3\n" * 4 + ",2,0\n" * 396)
    fit = write_fit(path, "csv", tmp_path / "prior.yaml")
    assert fit.rows == 400
    assert fit.warnings[1] == ("labels.csv: AU1: coded in 4 of 400 rows, fewer than half; left out")
    assert load_prior(tmp_path / "prior.yaml").rates()[[0, AU12]].tolist() == [0, 0.01]


def test_left_and_right_are_merged_as_the_user_says(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU6L,AU6R,AU12_left,AU12_right\n0,1,4,5\n2,2,0,3\n")
    assert _refused(path, "csv") == (
        f"{path}, line 1: columns AU6L and AU6R are the left and the right of AU6; an AU vector "
        "has one number for both, so say which: sides mean or max (--sides mean)"
    )
    mean = open_labels(path, "csv", reading=Reading(sides="mean"))
    assert _rows(mean) == [[0.5, 4.5], [2, 1.5]]
    assert mean.notes[0] == "labels.csv: AU6, AU12: the mean of left and right"
    assert _rows(open_labels(path, "csv", reading=Reading(sides="max"))) == [[1, 5], [2, 3]]
    path.write_text("AU6L,AU6R\n0,1\n1,1\n")
    assert _refused(path, "csv", reading=Reading(sides="mean")) == (
        f"{path}: the left and the right hold occurrences, 0 and 1, of which there is no mean; "
        "take sides max"
    )


def test_a_folder_may_hold_upper_case_names_and_side_files_of_macos(tmp_path):
    write_openface(tmp_path / "A.CSV", VECTORS)
    (tmp_path / "._A.CSV").write_bytes(b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X")
    labels = open_labels(tmp_path, "openface")
    assert [path.name for path in labels.files] == ["A.CSV"]
    assert labels.notes == (
        f"{tmp_path.name}: 1 side file of macOS (._*) left out",
        f"{tmp_path.name}: AU7, AU45: not among the 12 AUs of the prior, left out; name them by "
        "--aus (key: action_units) to keep them",
    )
    assert _refused(tmp_path / "._A.CSV", "openface") == (
        f"{tmp_path / '._A.CSV'} is a side file of macOS, which holds no table; read the one "
        "without '._'"
    )


FILES = {
    b"emotion,pixels,Usage\n0,1 2 3,Training\n": " holds pixels and emotions, as FER2013's table "
    "does, and no AUs; measure its images with OpenFace or LibreFace first and give their table, "
    "or fit the prior 'emotions' to their shares (synthgen prior fit --format emotions)",
    b"AU6,AU12,w\n0,5,1,25,1\n": ", line 2: 5 values, and line 1 names 3 columns: its numbers have "
    "decimal commas, and commas stand between them as well, so they cannot be told apart; write "
    "the table again with decimal points, or with semicolons between the values",
    b"AU01_r,AU12_r\n1,2\n": ", line 1: no column is one of the 12 AUs; format 'csv' wants columns "
    "such as AU1 or AU01; its columns are those of format 'openface'",
    b"PK\x03\x04...": " is an Excel workbook or a ZIP archive; save its sheet as CSV",
    b"AU6,AU12\n1," + b"9" * 5000 + b"\n": f", line 2: AU12 is '{'9' * 58}…; it must be a number "
    "from 0 to 5",
    b"AU6,AU12\n1,2\x00\n": ", line 2: AU12 is '2\\x00'; it must be a number from 0 to 5",
    b"AU" + b"1" * 5000 + b",AU12\nx,2,3\n": ", line 2: 3 values, and line 1 names 2 columns",
    b"a" * (1 << 21): ", line 1: it has more than 1,048,576 characters, so this is no table of AUs",
    b"AU6,x\nq," + b"1" * 3_000_000 + b"\n": ", line 2: it has more than 1,048,576 characters, so "
    "this is no table of AUs",
    b"AU6," * 20_000 + b"x\n": ", line 1: it names 20,001 columns; a table of AUs has at most "
    "10,000",
}


@pytest.mark.parametrize(("content", "said"), FILES.items(), ids=range(len(FILES)))
def test_what_is_no_table_is_told_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "labels.csv"
    path.write_bytes(content)
    text = _refused(path, "csv")
    assert text == f"{path}{said}"
    assert len(text) < 700


def test_a_field_of_any_length_in_another_column_is_no_matter(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text(f"AU6,x,AU12\n0,{'p' * 200_000},4.5\n1.25,q,0\n")
    assert _rows(open_labels(path, "csv")) == ROWS
    path.write_text(f"AU6,x,AU12\n0,{'p' * 200_000},4.5\n1.25,q,bad\n")
    assert _refused(path, "csv") == (
        f"{path}, line 3: AU12 is 'bad'; it must be a number from 0 to 5"
    )


def test_pipes_and_folders_are_no_tables_and_any_name_is_shown(tmp_path):
    pipe = tmp_path / "labels.csv"
    os.mkfifo(pipe)
    said = f"the label file {pipe} is a named pipe; it must be a regular file"
    assert _refused(pipe, "csv") == said
    assert _refused(tmp_path, "csv") == said
    pipe.unlink()
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv")
    with open(odd, "w") as file:
        file.write("AU6,AU12\n0,4.5\n1.25,0\n")
    assert _rows(open_labels(odd, "csv")) == ROWS
    folder = open_labels(tmp_path, "csv")
    assert len(folder.sha256()) == 64
    fit = write_fit(odd, "csv", tmp_path / "prior.yaml")
    assert "\\udcff.csv" in fit.warnings[0]
    assert load_prior(tmp_path / "prior.yaml").rates()[AU12] == 0.5
    assert _refused("a\0b", "csv") == "there is no label file or folder a\\x00b"


LAYOUTS = {
    "csv": (write_csv, "labels.csv"),
    "openface": (write_openface, "labels.csv"),
    "libreface": (write_libreface, "labels.csv"),
    "disfa": (write_disfa, "disfa"),
    "bp4d": (write_bp4d, "bp4d"),
}
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.binary(max_size=6), st.sampled_from([b"\n", b",", b'"', b"\0", b"1e999"])),
        st.integers(0, 8),
    ),
    min_size=1,
    max_size=6,
)


def _mutated(content, changes):
    for place, new, cut in changes:
        at = int(place * len(content))
        content = content[:at] + new + content[at + cut :]
    return content


@pytest.mark.parametrize("layout", LAYOUTS)
def test_mutated_labels_are_read_or_refused(tmp_path, layout):
    write, name = LAYOUTS[layout]
    root = write(tmp_path / name, VECTORS)
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*.*"))
    files = [path for path in files if path.is_file()]
    whole = files[0].read_bytes()
    said: list[str] = []

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHANGES)
    def check(changes):
        files[0].write_bytes(_mutated(whole, changes))
        try:
            rows = [batch.intensities for batch in open_labels(root, layout).batches()]
        except LabelsError as error:
            said.append(str(error))
            return
        assert all(np.isfinite(one).all() and (one >= 0).all() and (one <= 5).all() for one in rows)

    check()
    assert not any("\n" in text for text in said)


def test_a_mutated_prior_is_read_or_refused(tmp_path):
    labels = write_csv(tmp_path / "labels.csv", VECTORS)
    write_fit(labels, "csv", tmp_path / "prior.yaml")
    whole = (tmp_path / "prior.yaml").read_bytes()
    said: list[str] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(CHANGES)
    def check(changes):
        path = tmp_path / "mutated.yaml"
        path.write_bytes(_mutated(whole, changes))
        try:
            rates = load_prior(path).rates()
        except SynthgenError as error:
            said.append(str(error))
            return
        assert ((rates >= 0) & (rates <= 1)).all()

    check()
    assert not any("\n" in text for text in said)


def test_other_tables_of_a_folder_are_told(tmp_path):
    for name in ("a.csv", "b.tsv", "README.txt"):
        (tmp_path / name).write_text("AU6,AU12\n" + "3,4\n" * 4)
    notes = open_labels(tmp_path, "csv").notes
    assert notes[0] == (
        f"{tmp_path.name}: of a folder, files .csv are read; left out: 2 (README.txt, b.tsv)"
    )
