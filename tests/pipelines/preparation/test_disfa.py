import re
from collections import Counter

import pytest
from datasets import load_dataset
from made_sources import opened, write_disfa, write_labels, write_picture

from pipelines.preparation.disfa import Disfa
from pipelines.preparation.looking import Looks
from pipelines.preparation.preparing import Preparing, prepare
from synthgen.action_units import AUS
from synthgen.errors import DatasetError, LabelsError

SPLITS = {"train": 0.5, "validation": 0.3, "test": 0.2}
LOOKS = Looks(side=512, min_side=0, picture_format="png", caption="a photo of a person")


def prepared(source, to, part=500):
    return prepare(Preparing(source=source, to=str(to), looks=LOOKS, part=part))


def rows_of(folder, split, name=None, cache=None):
    rows = load_dataset(str(folder), name, split=split, cache_dir=cache)
    return rows.cast_column("image", rows.features["image"].__class__(decode=False)).to_list()


def test_a_copy_becomes_frames_with_an_au_and_a_tenth_as_many_without(tmp_path):
    root = write_disfa(tmp_path / "disfa")
    found = prepared(Disfa(root, splits=SPLITS), tmp_path / "out")
    # 3 subjects of 30 frames, 10 with AU12, and 10 % of 10 without, in each split of one subject.
    assert found.rows == {"train": 11, "validation": 11, "test": 11}
    assert found.listed == 90
    assert found.steps == {"without an AU, beyond 10 % of those with one": 57}
    assert found.notes == [
        "labels begin at 1 and pictures at 1, so equal numbers belong together: 3 of 3 subjects "
        "fit to the frame"
    ]
    everyone = Counter()
    for split in SPLITS:
        rows = rows_of(tmp_path / "out", split, cache=tmp_path / "cache")
        (subject,) = {row["subject"] for row in rows}
        everyone[subject] += 1
        strengths = [row["aus"][AUS.index("AU12")] for row in rows]
        assert sorted(strengths) == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
        assert all(sum(row["aus"]) == row["aus"][AUS.index("AU12")] for row in rows)
        for row in rows:
            file = root / row["provenance"]["file"]
            assert row["image"]["bytes"] == file.read_bytes()
            assert int(file.stem) == row["provenance"]["frame"]
        assert {(row["source"], row["caption"]) for row in rows} == {
            ("disfa", "a photo of a person")
        }
        assert {row["provenance"]["labels"] for row in rows} == {"DISFA's coders"}
    assert everyone == {"SN001": 1, "SN002": 1, "SN003": 1}
    dropped = load_dataset(str(tmp_path / "out"), "rejects", split="dropped")
    assert len(dropped) == 57
    assert set(dropped["reason"]) == {"no AU is active"}


@pytest.mark.parametrize(("labels_from", "pictures_from"), [(0, 0), (0, 1), (1, 0)])
def test_frames_keep_their_labels_however_they_are_numbered(tmp_path, labels_from, pictures_from):
    plain = write_disfa(tmp_path / "plain")
    other = write_disfa(tmp_path / "other", labels_from=labels_from, pictures_from=pictures_from)
    tables = []
    for root in (plain, other):
        prepared(Disfa(root, splits=SPLITS), tmp_path / f"{root.name}-out")
        rows = rows_of(tmp_path / f"{root.name}-out", "train", cache=tmp_path / "cache")
        tables.append([(row["image"]["bytes"], row["aus"]) for row in rows])
    assert tables[0] == tables[1]


def test_what_is_missing_or_too_much_is_dropped_and_told(tmp_path):
    root = write_disfa(tmp_path / "disfa")
    write_picture(root / "LeftCamera" / "SN001" / "0031.png", 5)  # a frame too many
    (root / "LeftCamera" / "SN002" / "0025.png").write_bytes(b"no picture")
    (root / "LeftCamera" / "SN003" / "0030.png").unlink()
    lines = (root / "ActionUnit_Labels" / "SN003" / "SN003_au4.txt").read_text().splitlines()
    (root / "ActionUnit_Labels" / "SN003" / "SN003_au4.txt").write_text("\n".join(lines[:-2]))
    write_labels(root, "SN004", {0: {}, 1: {"AU1": 3}})
    found = prepared(Disfa(root, splits={"train": 1.0}), tmp_path / "out")
    # Active: SN001 10, SN002 10 (one unreadable), SN003 10 less frames 29 (not coded) and 30.
    assert found.listed == 90 + 1 + 2
    assert found.steps == {
        "no video or pictures of the subject": 2,
        "no frame for the label": 1,
        "no label for the frame": 1,
        "some AU not coded": 1,
        "without an AU, beyond 10 % of those with one": 60 - 3,
        "unreadable": 1,
    }
    assert found.rows == {"train": 28 - 1 + 3}
    assert "SN004: labels and no video or pictures, left out" in found.notes
    dropped = load_dataset(
        str(tmp_path / "out"), "rejects", split="dropped", cache_dir=tmp_path / "cache"
    ).to_list()
    told = {one["step"]: one for one in dropped}
    assert told["unreadable"] == {
        "split": "train",
        "file": "LeftCamera/SN002/0025.png",
        "frame": 25,
        "step": "unreadable",
        "reason": "it is no picture of a kind that is known",
    }
    assert told["no label for the frame"]["file"] == "LeftCamera/SN001/0031.png"
    assert told["no label for the frame"]["reason"] == "frame 31 would have the label 31"
    assert told["some AU not coded"]["frame"] == 29
    assert told["no frame for the label"]["reason"] == "label 30 has no frame 30"


def test_a_missing_label_file_is_refused(tmp_path):
    root = write_disfa(tmp_path / "disfa")
    (root / "ActionUnit_Labels" / "SN002" / "SN002_au9.txt").unlink()
    text = (
        f"{root}: there is no SN002_au9.txt; each subject must have a file for each of "
        f"{', '.join(AUS)}"
    )
    with pytest.raises(LabelsError, match=f"^{re.escape(text)}$"):
        prepared(Disfa(root, splits=SPLITS), tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_another_camera_is_left_out(tmp_path):
    root = write_disfa(tmp_path / "disfa")
    write_picture(root / "RightCamera" / "SN001" / "0001.png", 77)
    found = prepared(Disfa(root, splits=SPLITS), tmp_path / "out")
    assert found.notes[0] == "1 file of the right camera left out"
    with pytest.raises(DatasetError, match=r"^which label belongs to which frame cannot be told"):
        prepared(Disfa(root, camera="right", splits=SPLITS), tmp_path / "right")


def test_two_pictures_of_a_frame_are_refused(tmp_path):
    root = write_disfa(tmp_path / "disfa")
    write_picture(root / "LeftCamera" / "again" / "SN001" / "0001.png", 77)
    text = (
        "SN001 has two pictures of frame 1: LeftCamera/SN001/0001.png and "
        "LeftCamera/again/SN001/0001.png; name the folder of those that are meant by --media, or "
        "--camera left or right"
    )
    with pytest.raises(DatasetError, match=f"^{re.escape(text)}$"):
        prepared(Disfa(root, splits=SPLITS), tmp_path / "out")


def test_more_splits_than_subjects_are_refused(tmp_path):
    root = write_disfa(tmp_path / "disfa", subjects=["SN001", "SN002"])
    text = f"{root} has 2 subjects, and --splits names 3 splits; each needs one"
    with pytest.raises(DatasetError, match=f"^{re.escape(text)}$"):
        prepared(Disfa(root, splits=SPLITS), tmp_path / "out")


class _Video:
    """A video whose frames are plain grey, each of its own shade."""

    def __init__(self, path, frames):
        av = pytest.importorskip("av")
        from PIL import Image

        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=20)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for frame in range(frames):
                image = Image.new("RGB", (32, 32), (8 * frame,) * 3)
                container.mux(stream.encode(av.VideoFrame.from_image(image)))
            container.mux(stream.encode())


def test_frames_are_read_from_videos(tmp_path):
    root = tmp_path / "disfa"
    for subject, frames in (("SN001", 24), ("SN002", 25)):
        _Video(root / "Videos_LeftCamera" / f"LeftVideo{subject}_comp.avi", frames)
        _Video(root / "Videos_RightCamera" / f"RightVideo{subject}_Comp.avi", frames)
        write_labels(root, subject, {n: {"AU12": 3} if n % 2 else {} for n in range(24)})
    (root / "Videos_LeftCamera" / "LeftVideoSN003_comp.avi").write_bytes(b"no video")
    write_labels(root, "SN003", {0: {"AU1": 1}})
    found = prepared(Disfa(root, splits={"train": 1.0}), tmp_path / "out", part=7)
    assert found.rows == {"train": 12 + 12 + 2}
    assert found.steps == {
        "no label for the frame": 1,
        "without an AU, beyond 10 % of those with one": 22,
        "unreadable": 1,
    }
    rows = rows_of(tmp_path / "out", "train", cache=tmp_path / "cache")
    for row in rows:
        shade = opened(row["image"]).resize((1, 1)).getpixel((0, 0))[0]
        assert abs(shade - 8 * (row["provenance"]["frame"] - 1)) < 6


def test_a_video_that_breaks_off_keeps_the_frames_before(tmp_path):
    root = tmp_path / "disfa"
    path = root / "Videos_LeftCamera" / "LeftVideoSN001_comp.avi"
    _Video(path, 24)
    write_labels(root, "SN001", {n: {"AU12": 3} for n in range(24)})
    whole = prepared(Disfa(root, splits={"train": 1.0}), tmp_path / "whole")
    assert whole.rows == {"train": 24}
    source = Disfa(root, splits={"train": 1.0})
    listing = source.listing()
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 4 // 5])  # after it was counted
    read = list(source.read(listing.items))
    kept = [one for one in read if not isinstance(one, str)]
    assert 0 < len(kept) < 24
    assert [isinstance(one, str) for one in read] == [False] * len(kept) + [True] * (24 - len(kept))
    assert read[-1].startswith("the video ")
