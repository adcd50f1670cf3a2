import re

import pytest
from commands import run
from datasets import load_dataset
from made_sources import write_picture

from synthgen.action_units import AUS

HEAD = ",".join(AUS)


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for number, name in enumerate(("anna/1.png", "anna/2.jpg", "bea/1.png", "bea/2.png")):
        write_picture(root / name, number, (64, 48))
    return root


def row(file, *, au12=0.0, more=""):
    values = [str(au12) if au == "AU12" else "0" for au in AUS]
    return f"{file},{','.join(values)}{more}\n"


def table(tmp_path, *rows, more=""):
    path = tmp_path / "labels.csv"
    path.write_text(f"file,{HEAD}{more}\n" + "".join(rows))
    return path


def prepare(*arguments, cwd):
    return run("data", "folder", *arguments, cwd=cwd)


def test_pictures_and_rows_become_a_dataset(tmp_path, photos):
    write_picture(photos / "bea" / "3.png", 9)
    (photos / "bea" / "4.png").write_bytes(b"")
    labels = table(
        tmp_path,
        row("anna/1.png", au12=4.5, more=",a girl smiles,anna"),
        row("anna/2.jpg", au12=1, more=",,anna"),
        row("bea/1.png", more=",a woman,bea"),
        f"bea/2.png,{','.join(['1'] * 11)},,a woman,bea\n",
        row("bea/4.png", more=",a woman,bea"),
        row("bea/9.png", more=",a woman,bea"),
        more=",text,who",
    )
    code, said, notes = prepare(
        "photos", "--labels", labels, "--caption-column", "text", "--subject-column", "who",
        "--to", "out", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, notes
    assert said == (
        "out: 3 rows of Pictures of a folder (train 3)\n"
        "          7 pictures\n"
        "−         1 no such picture\n"
        "−         1 no row in the table\n"
        "−         1 no labels in its row\n"
        "−         1 unreadable\n"
        "=         3 rows\n"
        'why each was dropped: load_dataset("out", "rejects")\n'
    )
    assert (
        "note: labels.csv: the highest value is 4.5, so all are taken to be on the scale 0–5"
        in notes
    )
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=tmp_path / "cache")
    assert rows["caption"][:] == ["a girl smiles", "a photo of a person", "a woman"]
    assert rows["subject"][:] == ["anna", "anna", "bea"]
    assert [one[AUS.index("AU12")] for one in rows["aus"]] == [4.5, 1, 0]
    assert rows["source"][:] == ["photos"] * 3
    assert rows["provenance"][0] == {
        "file": "anna/1.png",
        "frame": None,
        "labels": "labels.csv, line 2",
        "captioned_by": "source",
    }
    dropped = load_dataset(str(tmp_path / "out"), "rejects", split="dropped").to_list()
    assert [(one["file"], one["reason"]) for one in dropped] == [
        ("bea/9.png", "line 7 of the table names it"),
        ("bea/2.png", "line 5: AU26 not coded"),
        ("bea/3.png", "no row names it"),
        ("bea/4.png", "it is no picture of a kind that is known"),
    ]


def test_people_of_folders_go_to_one_split_each(tmp_path, photos):
    labels = table(tmp_path, *(row(f"{who}/{n}.png") for who, n in [("anna", 1), ("bea", 1)]))
    code, said, _ = prepare(
        "photos", "--labels", labels, "--subject-folders", "--splits", "train=0.5,test=0.5",
        "--to", "out", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0
    assert said.startswith("out: 2 rows of Pictures of a folder (train 1, test 1)\n")


def test_large_pictures_are_scaled_and_others_copied(tmp_path):
    write_picture(tmp_path / "photos" / "large.png", 1, (200, 100))
    small = write_picture(tmp_path / "photos" / "small.png", 2, (64, 64))
    labels = table(tmp_path, row("large.png", au12=2.5), row("small.png"))
    code, _, errors = prepare(
        "photos", "--labels", labels, "--side", "64", "--picture-format", "png", "--to", "out",
        cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, errors
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=tmp_path / "cache")
    assert [image.size for image in rows["image"]] == [(128, 64), (64, 64)]
    raw = rows.cast_column("image", rows.features["image"].__class__(decode=False))
    assert raw["image"][1]["bytes"] == small


REFUSED = {
    "no labels": (
        ["--to", "out"],
        "pictures need labels: name a table (--labels), or what measures them (--verifier), and "
        "not both",
    ),
    "splits without people": (
        ["--labels", "labels.csv", "--splits", "train=0.5,test=0.5", "--to", "out"],
        "--splits names 2 splits, and nothing says who is shown, so a person would be in several; "
        "name a column (--subject-column), say that each folder is a person (--subject-folders), "
        "or name the column of splits (--split-column)",
    ),
    "shares": (
        ["--labels", "labels.csv", "--splits", "train=0.5,test=0.4", "--to", "out"],
        "--splits is 'train=0.5,test=0.4': the shares add up to 0.9; they must add up to 1",
    ),
    "into the source": (
        ["--labels", "labels.csv", "--to", "photos/out"],
        "{cwd}/photos/out lies inside photos, whose pictures are read; choose another --to",
    ),
    "a full folder": (
        ["--labels", "labels.csv", "--to", "full"],
        "{cwd}/full holds files (such as a.txt) and no prepared dataset; choose a new or empty "
        "folder for --to",
    ),
    "another column": (
        ["--labels", "labels.csv", "--caption-column", "words", "--to", "out"],
        "labels.csv, line 1: there is no column 'words'; it has file, " + ", ".join(AUS),
    ),
    "an AU without a column": (
        ["--labels", "few.csv", "--to", "out"],
        "few.csv: no column is AU20, AU26, and a picture without a label is none that lacks the "
        "AU; say so if none shows it (--absent AU20,AU26)",
    ),
    "occurrences": (
        ["--labels", "occurring.csv", "--to", "out"],
        "occurring.csv: it codes whether AUs are there, 0 or 1, and training needs intensities; "
        "--scale 5 takes the values for intensities",
    ),
    "a word": (
        ["--labels", "word.csv", "--to", "out"],
        "word.csv, line 2: AU12 is 'much'; it must be a number from 0 to 5",
    ),
    "a value beyond": (
        ["--labels", "beyond.csv", "--scale", "5", "--to", "out"],
        "beyond.csv, line 2: AU12 is '7'; it must be a number from 0 to 5",
    ),
    "a picture twice": (
        ["--labels", "twice.csv", "--to", "out"],
        "twice.csv, lines 2 and 3 both name 'anna/1.png'; a picture has one row",
    ),
    "a question to nobody": (
        ["--labels", "labels.csv", "--photo-from", "0.5", "--to", "out"],
        "--photo-from is for a model that looks at pictures; name --model",
    ),
    "no pictures": (
        ["--labels", "none.csv", "--to", "out"],
        "Pictures of a folder: no picture is left to look at: 1 no such picture, 4 no row in the "
        "table",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(tmp_path, photos, case):
    arguments, text = REFUSED[case]
    table(tmp_path, row("anna/1.png", au12=2.5))
    few = [au for au in AUS if au not in ("AU20", "AU26")]
    files = {
        "few.csv": f"file,{','.join(few)}\nanna/1.png,{','.join(['2'] * len(few))}\n",
        "occurring.csv": f"file,{HEAD}\n" + row("anna/1.png", au12=1),
        "word.csv": f"file,{HEAD}\n" + row("anna/1.png", au12="much"),
        "beyond.csv": f"file,{HEAD}\n" + row("anna/1.png", au12=7),
        "twice.csv": f"file,{HEAD}\n" + 2 * row("anna/1.png", au12=2),
        "none.csv": f"file,{HEAD}\n" + row("carl/1.png", au12=2),
    }
    for name, written in files.items():
        (tmp_path / name).write_text(written)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").touch()
    code, said, errors = prepare("photos", *arguments, cwd=tmp_path)
    assert (code, said) == (2, "")
    assert errors == f"error: {text.format(cwd=tmp_path.resolve())}\n"
    assert not [path for path in tmp_path.glob("*out*") if re.search("out", path.name)]
