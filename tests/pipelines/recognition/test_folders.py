"""Folders of others: each layout, and what is malformed in it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_recognition import make_folder

from pipelines.recognition.folders import PictureFolder
from synthgen.errors import DatasetError


def put(path: Path, shade: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (12, 10), (shade, 0, 0)).save(path)


def labels(folder: PictureFolder) -> list[tuple[str, str, str | None]]:
    return [(face.name, face.split, face.category) for face in folder.faces]


def test_an_image_folder_is_read_by_words_with_and_without_splits(tmp_path):
    plain = PictureFolder(make_folder(tmp_path / "plain", 1))
    assert plain.kind == "image folder"
    assert labels(plain) == [
        ("Neutral/0.png", "all", "neutral"),
        ("Sadness/0.png", "all", "sad"),
        ("happiness/0.png", "all", "happy"),
    ]
    split = PictureFolder(make_folder(tmp_path / "split", 1, ("train", "val", "Test")))
    assert [face.split for face in split.faces] == ["test"] * 3 + ["train"] * 3 + ["validation"] * 3
    assert next(split.pictures([4])).size == (16, 16)


def test_numbers_of_nobody_are_refused(tmp_path):
    put(tmp_path / "train" / "3" / "a.jpg")
    with pytest.raises(DatasetError) as error:
        PictureFolder(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} names categories by numbers ('3'), and nobody says whose they are; name its "
        "folders by words, such as happy"
    )


def test_raf_db_is_read_from_its_label_file(tmp_path):
    (tmp_path / "basic" / "EmoLabel").mkdir(parents=True)
    (tmp_path / "basic" / "EmoLabel" / "list_patition_label.txt").write_text(
        "train_00001.jpg 5\ntest_0001.jpg 1\ntest_0002.jpg 7\n"
    )
    put(tmp_path / "basic" / "Image" / "aligned" / "train_00001_aligned.jpg")
    put(tmp_path / "basic" / "Image" / "original" / "test_0001.jpg")
    folder = PictureFolder(tmp_path)
    assert folder.kind == "RAF-DB"
    assert labels(folder) == [
        ("train_00001.jpg", "train", "sad"),
        ("test_0001.jpg", "test", "surprised"),
    ]
    assert folder.left_out == {"no file": 1}
    assert len(list(folder.pictures([0, 1]))) == 2


def test_raf_db_is_read_as_numbered_folders_of_its_file_names(tmp_path):
    put(tmp_path / "DATASET" / "train" / "1" / "train_00007_aligned.jpg")
    put(tmp_path / "DATASET" / "test" / "4" / "test_0001_aligned.jpg")
    folder = PictureFolder(tmp_path)
    assert folder.kind == "RAF-DB"
    assert [(face.split, face.category) for face in folder.faces] == [
        ("test", "happy"),
        ("train", "surprised"),
    ]


def test_a_line_of_raf_db_that_is_none_is_named(tmp_path):
    path = tmp_path / "EmoLabel" / "list_patition_label.txt"
    path.parent.mkdir()
    path.write_text("train_00001.jpg 8\n")
    with pytest.raises(DatasetError) as error:
        PictureFolder(tmp_path)
    assert str(error.value) == (
        f"{path}, line 1 is 'train_00001.jpg 8'; it must be like 'train_00001.jpg 5', with a "
        "number of 1 to 7"
    )


def test_affectnet_is_read_from_its_annotations(tmp_path):
    for name, number, code in (
        ("train_set", 0, "1"), ("train_set", 5, "8"), ("val_set", 2, 6), ("val_set", 3, 0),
    ):  # fmt: skip
        (tmp_path / name / "annotations").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / name / "annotations" / f"{number}_exp.npy", np.array(code))
        put(tmp_path / name / "images" / f"{number}.jpg")
    (tmp_path / "val_set" / "images" / "3.jpg").unlink()
    folder = PictureFolder(tmp_path)
    assert folder.kind == "AffectNet"
    assert labels(folder) == [
        ("train_set/0", "train", "happy"),
        ("val_set/2", "validation", "angry"),
    ]
    assert folder.left_out == {"labelled none": 1, "no file": 1}


def test_annotations_are_never_unpickled(tmp_path):
    (tmp_path / "val_set" / "annotations").mkdir(parents=True)
    np.save(tmp_path / "val_set" / "annotations" / "0_exp.npy", np.array({}), allow_pickle=True)
    with pytest.raises(DatasetError, match=r"0_exp\.npy cannot be read: Object arrays cannot be"):
        PictureFolder(tmp_path)


def fer2013(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(("emotion, pixels, Usage", *rows)) + "\n")
    return path


GREY = " ".join(["7"] * 48**2)


def test_fer2013_is_read_from_its_table(tmp_path):
    table = fer2013(
        tmp_path / "icml_face_data.csv", f"3,{GREY},Training", f"6,{GREY},PublicTest",
        f"0,{GREY},PrivateTest",
    )  # fmt: skip
    for folder in (PictureFolder(table), PictureFolder(tmp_path)):
        assert folder.kind == "FER2013"
        assert labels(folder) == [
            ("line 2", "train", "happy"),
            ("line 3", "validation", "neutral"),
            ("line 4", "test", "angry"),
        ]
        assert next(folder.pictures([2])).getpixel((0, 0)) == (7, 7, 7)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"7,{GREY},Training", "emotion is 7; it must be 0 to 6"),
        (
            f"0,{GREY},Test",
            "Usage is Test; it must be Training, PublicTest or PrivateTest",
        ),
        ("0,1 2 3,Training", "pixels are 3 values; they must be 2304 of 0 to 255"),
        (f"0,{GREY}", "2 values, and line 1 names 3"),
    ],
)
def test_a_line_of_fer2013_that_is_none_is_named(tmp_path, row, said):
    table = fer2013(tmp_path / "fer2013.csv", row)
    with pytest.raises(DatasetError) as error:
        PictureFolder(table)
    assert str(error.value) == f"{table}, line 2: {said}"


def test_a_folder_of_no_layout_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError) as error:
        PictureFolder(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} is no synthgen dataset and has no layout that is known: FER2013's table, "
        "RAF-DB's EmoLabel and Image, AffectNet's train_set and val_set, or a folder of pictures "
        "for each category"
    )


def test_a_damaged_picture_is_named(tmp_path):
    folder = make_folder(tmp_path, 1)
    (folder / "Neutral" / "0.png").write_bytes(b"none")
    with pytest.raises(DatasetError) as error:
        list(PictureFolder(folder).pictures([0]))
    assert str(error.value) == (
        f"the picture {folder}/Neutral/0.png cannot be used: it is no picture of a kind that is "
        "known"
    )


def affectnet(folder: Path, *rows: str) -> Path:
    folder.mkdir(exist_ok=True)
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression"
    (folder / "validation.csv").write_text("\n".join((head, *rows)) + "\n")
    return folder / "validation.csv"


def test_affectnets_first_release_is_read_with_the_faces_cut_out(tmp_path):
    affectnet(
        tmp_path, "1/a.jpg,2,1,6,5,,3", "1/b.jpg,,,,,,0", "1/c.jpg,0,0,9,9,,9", "2/d.jpg,0,0,9,9,,1"
    )
    for name in ("a", "b", "c"):
        put(tmp_path / "Manually_Annotated_Images" / "1" / f"{name}.jpg")
    folder = PictureFolder(tmp_path)
    assert labels(folder) == [
        ("1/a.jpg", "validation", "surprised"),
        ("1/b.jpg", "validation", "neutral"),
    ]
    assert folder.left_out == {"labelled uncertain": 1, "no file": 1}
    assert [image.size for image in folder.pictures([0, 1])] == [(6, 5), (12, 10)]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("a.jpg,0,0,9,9,,11", "expression is 11; it must be 0 to 10"),
        ("a.jpg,0,0,0,9,,1", "the face's box must be four numbers, its sides 1 at least"),
        ("a.jpg,0,0,x,9,,1", "the face's box must be four numbers, its sides 1 at least"),
    ],
)
def test_a_line_of_affectnets_table_that_is_none_is_named(tmp_path, row, said):
    table = affectnet(tmp_path, row)
    put(tmp_path / "a.jpg")
    with pytest.raises(DatasetError) as error:
        PictureFolder(tmp_path)
    assert str(error.value) == f"{table}, line 2: {said}"


def test_a_box_beside_the_picture_is_named_and_a_large_one_is_cut_to_it(tmp_path):
    affectnet(tmp_path, "a.jpg,-5,3,1e9,1e9,,1", "a.jpg,50,3,9,9,,1")
    put(tmp_path / "a.jpg")
    folder = PictureFolder(tmp_path)
    assert next(folder.pictures([0])).size == (12, 7)
    with pytest.raises(DatasetError) as error:
        next(folder.pictures([1]))
    assert str(error.value) == (
        f"the picture {tmp_path}/a.jpg cannot be used: the face's box lies outside of it"
    )
