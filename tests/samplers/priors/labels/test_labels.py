import tracemalloc

import numpy as np
import pytest
from label_files import (
    write_bp4d,
    write_csv,
    write_disfa,
    write_libreface,
    write_openface,
)

from samplers.priors.labels import FORMATS, open_labels
from synthgen.action_units import AUS
from synthgen.errors import LabelsError

VECTORS = np.zeros((7, 12), dtype=np.float32)
VECTORS[1:3, AUS.index("AU12")] = [5, 2.25]
VECTORS[2:5, AUS.index("AU6")] = [1, 4.5, 0.75]
VECTORS[4, AUS.index("AU1")] = 3


def _rows(labels):
    return np.concatenate([batch.intensities for batch in labels.batches()]), labels.left_out


def _refused(*arguments, **keywords):
    with pytest.raises(LabelsError) as caught:
        for _ in open_labels(*arguments, **keywords).batches():
            pass
    return str(caught.value)


def test_a_table_of_our_own_kind_is_read(tmp_path):
    labels = open_labels(write_csv(tmp_path / "labels.csv", VECTORS), "csv")
    rows, left_out = _rows(labels)
    assert np.array_equal(rows, VECTORS)
    assert rows.dtype == np.float32
    assert left_out == {}
    assert labels.aus == AUS
    assert labels.unknown == ()


def test_columns_may_be_written_in_any_way_and_blank_cells_leave_a_row_out(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_bytes(
        b"\xef\xbb\xbfau1, AU_06 ,Au012\r\n1,2.5,0\r\n\r\n3,,1\r\n0,nan,5\r\n4,0, 0.2\r\n"
    )
    labels = open_labels(path, "csv")
    rows, left_out = _rows(labels)
    assert labels.aus == ("AU1", "AU6", "AU12")
    assert labels.unknown == tuple(au for au in AUS if au not in labels.aus)
    assert rows[:, [0, 4, 6]].tolist() == [[1, 2.5, 0], [4, 0, 0]]
    assert left_out == {"some AU not coded": 2}


def test_openface_rows_without_a_face_are_left_out_and_counted(tmp_path):
    labels = open_labels(write_openface(tmp_path / "video.csv", VECTORS, failed=3), "openface")
    rows, left_out = _rows(labels)
    assert np.array_equal(rows, VECTORS)
    assert left_out == {"success 0": 3}


def test_a_folder_of_openface_files_is_read_in_order_of_name(tmp_path):
    write_openface(tmp_path / "b.csv", VECTORS[4:])
    write_openface(tmp_path / "a.csv", VECTORS[:4])
    labels = open_labels(tmp_path, "openface")
    assert np.array_equal(_rows(labels)[0], VECTORS)
    assert [path.name for path in labels.files] == ["a.csv", "b.csv"]


def test_libreface_intensities_that_are_nearly_0_are_0(tmp_path):
    path = write_libreface(tmp_path / "video.csv", VECTORS)
    assert np.array_equal(_rows(open_labels(path, "libreface"))[0], VECTORS)


def test_disfa_is_read_subject_by_subject(tmp_path):
    labels = open_labels(write_disfa(tmp_path, VECTORS, subjects=2), "disfa")
    rows, left_out = _rows(labels)
    assert np.array_equal(rows, np.floor(VECTORS + 0.5))
    assert left_out == {}
    assert len(labels.files) == 24
    only = open_labels(tmp_path / "ActionUnit_Labels", "disfa", {"subject": "SN002"})
    rows, left_out = _rows(only)
    assert np.array_equal(rows, np.floor(VECTORS[4:] + 0.5))
    assert left_out == {"other than where asks for": 4}


def test_bp4d_gives_intensities_where_they_are_coded_and_occurrences_elsewhere(tmp_path):
    labels = open_labels(write_bp4d(tmp_path, VECTORS), "bp4d")
    rows, left_out = _rows(labels)
    assert labels.aus == ("AU1", "AU2", "AU4", "AU6", "AU12", "AU15", "AU17")
    assert labels.unknown == ("AU5", "AU9", "AU20", "AU25", "AU26")
    assert labels.occurrence_only == ("AU1", "AU2", "AU4", "AU15")
    assert left_out == {"some AU not coded": 2}
    assert rows[:, 4].tolist() == [0, 0, 1, 5, 1, 0, 0]
    assert rows[:, 6].tolist() == [0, 5, 2, 0, 0, 0, 0]
    assert rows[:, 0].tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert not rows[:, [3, 5, 9, 10, 11]].any()


def test_bp4d_can_be_read_from_intensities_or_from_occurrences_alone(tmp_path):
    write_bp4d(tmp_path, VECTORS)
    graded = open_labels(tmp_path / "AUCoding" / "AU_INT", "bp4d")
    assert (graded.aus, graded.occurrence_only) == (("AU6", "AU12", "AU17"), ())
    seen = open_labels(tmp_path / "AUCoding" / "AU_OCC", "bp4d", {"task": "T1"})
    assert seen.occurrence_only == seen.aus
    rows, left_out = _rows(seen)
    assert rows[:, 6].tolist() == [0, 1, 1, 0]
    assert left_out == {"other than where asks for": 4, "some AU not coded": 1}


def test_rows_are_chosen_by_text_by_number_and_by_range(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("who,frame,AU1,w\nann,1,1,2\nbob,2,2,0\n ann,3,3,0.5\nann,9,4,1\n")
    labels = open_labels(path, "csv", {"who": "ann", "frame": [1, 3]}, weights="w")
    (batch,) = labels.batches()
    assert batch.intensities[:, 0].tolist() == [1, 3]
    assert batch.weights.tolist() == [2, 0.5]
    assert labels.left_out == {"other than where asks for": 2}
    (batch,) = open_labels(path, "csv", {"frame": 9}).batches()
    assert batch.intensities[:, 0].tolist() == [4]


def test_lower_intensities_than_wanted_count_as_none(tmp_path):
    labels = open_labels(write_csv(tmp_path / "labels.csv", VECTORS), "csv")
    rows = np.concatenate([batch.intensities for batch in labels.batches(active_from=2.25)])
    assert np.array_equal(rows, np.where(VECTORS >= 2.25, VECTORS, 0))


MALFORMED = {
    "1,0\n2\n": "line 3: 1 values, and line 1 names 2 columns",
    "1,0\n\n2,0,4\n": "line 4: 3 values, and line 1 names 2 columns",
    "1,0\n2,high\n": "line 3: AU12 is 'high'; it must be a number from 0 to 5",
    "5.6,0\n": "line 2: AU1 is '5.6'; it must be a number from 0 to 5",
    '2,0\n"-1",0\n': "line 3: AU1 is '-1'; it must be a number from 0 to 5; if -1 stands for what "
    "was not coded, say missing -1 (--missing -1; key: missing)",
    "inf,0\n": "line 2: AU1 is 'inf'; it must be a number from 0 to 5",
}


@pytest.mark.parametrize(("rows", "fault"), MALFORMED.items())
def test_a_malformed_row_of_a_table_is_named(tmp_path, rows, fault):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU12\n" + rows)
    assert _refused(path, "csv") == f"{path}, {fault}"


def test_a_malformed_row_far_down_is_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU12\n" + "1.25,0\n" * 70_000 + "1,6\n" + "0,0\n" * 10)
    assert _refused(path, "csv") == (
        f"{path}, line 70002: AU12 is '6'; it must be a number from 0 to 5"
    )


def test_malformed_weights_filters_and_successes_are_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,w,frame\n1,1,1\n1,-1,x\n")
    assert _refused(path, "csv", weights="w") == (
        f"{path}, line 3: weight w is '-1'; it must be a number of 0 or more"
    )
    assert _refused(path, "csv", {"frame": [0, 9]}) == (
        f"{path}, line 3: frame is 'x'; it must be a number, because where compares it"
    )
    path.write_text("frame, success, AU01_r\n1, yes, 0.00\n")
    assert _refused(path, "openface") == f"{path}, line 2: success is 'yes'; it must be 0 or 1"


def test_malformed_columns_are_named(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("name,AU7\na,1\n")
    assert _refused(path, "csv") == (
        f"{path}, line 1: no column is one of the 12 AUs; format 'csv' wants columns such as AU1 "
        "or AU01"
    )
    path.write_text("AU1,AU01\n1,1\n")
    assert _refused(path, "csv") == f"{path}, line 1: column 'AU01' stands there twice"
    path.write_text("AU1\n1\n")
    assert _refused(path, "csv", {"who": "x"}) == f"{path}, line 1: there is no column 'who'"
    path.write_text("")
    assert _refused(path, "csv") == f"{path} is empty; its first line must name the columns"
    assert _refused(tmp_path / "none.csv", "csv") == (
        f"there is no label file or folder {tmp_path / 'none.csv'}"
    )
    assert _refused(path, "ck") == (
        "unknown label format 'ck'; those that exist: csv, openface, libreface, pyfeat, disfa, bp4d"
    )
    assert FORMATS == ("csv", "openface", "libreface", "pyfeat", "disfa", "bp4d")


def test_files_of_one_folder_must_code_the_same_aus(tmp_path):
    (tmp_path / "a.csv").write_text("AU1\n1\n")
    (tmp_path / "b.csv").write_text("AU1,AU2\n1,1\n")
    assert _refused(tmp_path, "csv") == (
        f"{tmp_path / 'b.csv'} codes AU1, AU2, and {tmp_path / 'a.csv'} AU1; files of one folder "
        "must code the same AUs"
    )


@pytest.mark.parametrize(
    ("line", "shown"), [("3,6", "'3,6'"), ("3;1", "'3;1'"), ("3,1.5", "'3,1.5'"), ("3", "'3'")]
)
def test_a_malformed_line_of_disfa_is_named(tmp_path, line, shown):
    root = write_disfa(tmp_path, VECTORS, subjects=1)
    path = root / "ActionUnit_Labels" / "SN001" / "SN001_au12.txt"
    path.write_text(f"1,0\n2,5\n{line}\n4,0\n")
    assert _refused(root, "disfa") == (
        f"{path}, line 3: {shown} is not a frame and 1 value of 0, 1, 2, 3, 4, 5, separated by "
        "commas"
    )


def test_a_frame_that_stands_there_twice_is_named(tmp_path):
    root = write_disfa(tmp_path, VECTORS, subjects=1)
    path = root / "ActionUnit_Labels" / "SN001" / "SN001_au12.txt"
    path.write_text("1,0\n2,5\n2,4\n\n")
    assert _refused(root, "disfa") == f"{path}: frame 2 stands there twice"
    path.write_text("")
    assert _refused(root, "disfa") == f"{path}: Empty CSV file"


def test_a_table_of_no_rows_is_read(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU1,AU2\n")
    assert sum(len(batch.weights) for batch in open_labels(path, "csv").batches()) == 0


def test_a_missing_file_of_disfa_is_named(tmp_path):
    root = write_disfa(tmp_path, VECTORS, subjects=2)
    (root / "ActionUnit_Labels" / "SN002" / "SN002_au9.txt").unlink()
    assert _refused(root, "disfa") == f"{root}: there is no SN002_au9.txt; other subjects have AU9"
    assert _refused(tmp_path / "ActionUnit_Labels", "bp4d") == (
        f"there are no BP4D labels below {tmp_path / 'ActionUnit_Labels'}; format 'bp4d' wants "
        "files such as AU06/F001_T1_AU06.csv or F001_T1.csv"
    )
    assert _refused(root, "disfa", {"task": "T1"}) == (
        f"{root}: where names 'task'; format 'disfa' has subject, frame"
    )


def test_a_malformed_line_of_bp4d_is_named(tmp_path):
    root = write_bp4d(tmp_path, VECTORS)
    path = root / "AUCoding" / "AU_INT" / "AU06" / "F001_T2_AU06.csv"
    path.write_text("2400,9\n2401,7\n")
    assert _refused(root, "bp4d") == (
        f"{path}, line 2: '2401,7' is not a frame and 1 value of 0, 1, 2, 3, 4, 5, 9, separated by "
        "commas"
    )


def test_checksums_change_with_the_content_and_with_the_names_of_a_folder(tmp_path):
    one = open_labels(write_csv(tmp_path / "labels.csv", VECTORS), "csv").sha256()
    assert one == open_labels(tmp_path / "labels.csv", "csv").sha256()
    assert one != open_labels(write_csv(tmp_path / "labels.csv", VECTORS[1:]), "csv").sha256()
    root = write_disfa(tmp_path / "disfa", VECTORS)
    before = open_labels(root, "disfa").sha256()
    (root / "ActionUnit_Labels" / "SN001" / "SN001_au9.txt").write_text("1,0\n2,0\n3,1\n")
    assert open_labels(root, "disfa").sha256() != before


def test_a_large_table_is_read_in_bounded_memory(tmp_path):
    path = tmp_path / "labels.csv"
    header = ",".join(AUS)
    block = "".join(f"{place % 50 / 10},0,1.5,0,0,2,0,0,0,3,0.5,0\n" for place in range(1000))
    with path.open("w") as file:
        file.write(header + "\n")
        for _ in range(300):
            file.write(block)
    labels = open_labels(path, "csv")
    tracemalloc.start()
    rows = sum(len(batch.intensities) for batch in labels.batches())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 300_000
    assert peak < 60 * 2**20
