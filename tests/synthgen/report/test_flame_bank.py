import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import run
from PIL import Image
from smirk_files import write_smirk

from pipelines.pictures import open_picture
from pipelines.procedural import random_identity, render
from pipelines.smirk import SmirkEncoder
from pipelines.smirk.faces import CenteredFinder, ExpressionReader
from pipelines.smirk.network import LICENCE
from pipelines.weight_files import file_sha256
from samplers.flame import Bank
from synthgen import au_vector, make_flame_bank, measure
from synthgen.errors import OutputError, PictureError
from synthgen.report.flame_bank import FaceBounds, begun_file
from synthgen.report.flame_reading import KeptRows, PictureReader
from synthgen.report.pictures import config_or_quickstart

KNOWS = (
    "measured by libreface-mini, which knows drawn faces and those of the embedded model alone; "
    "for photographs set verify.weights=libreface and verify.aligner=mediapipe"
)
READ = f"read by smirk; {LICENCE}"


def portrait(seed, size=128):
    return render(random_identity(seed=seed), au_vector({"AU12": seed % 6, "AU4": seed % 3}), size)


@pytest.fixture(scope="module")
def smirk(tmp_path_factory):
    return write_smirk(tmp_path_factory.mktemp("smirk") / "SMIRK_em1.pt")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Seventeen portraits: more than are read at once."""
    folder = tmp_path_factory.mktemp("drawn")
    for seed in range(17):
        portrait(seed).save(folder / f"{seed:02}.png")
    return folder


@pytest.fixture
def photos(tmp_path):
    """Two portraits, one of them twice, and four that cannot be taken."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    portrait(1).save(folder / "one.png")
    portrait(2).save(folder / "two.png")
    shutil.copy(folder / "one.png", folder / "more" / "again.png")
    Image.new("RGB", (128, 128), "gray").save(folder / "nobody.png")
    portrait(3, 96).save(folder / "small.png")
    (folder / "bad.png").write_text("no picture")
    os.mkfifo(folder / "pipe.png")
    (folder / "notes.txt").write_text("mine")
    return folder


def bank_of(smirk, *arguments):
    return run("flame", "bank", *arguments, "--smirk", smirk, "--finder", "centered")


def test_a_row_is_what_both_networks_say_of_a_picture_and_names_its_checksum(
    drawn, smirk, monkeypatch
):
    told = []
    monkeypatch.setattr("synthgen.report.measuring._TOLD_EVERY", 0.0)
    made = make_flame_bank([drawn], smirk, finder="centered", licence="CC0", say=told.append)
    assert told == [READ, KNOWS, *(f"{number} of 17 pictures" for number in range(17))]
    bank = made.bank
    files = {file_sha256(file): file for file in drawn.iterdir()}
    assert bank.sources == tuple(sorted(files))
    reader = ExpressionReader(SmirkEncoder.from_file(smirk), CenteredFinder())
    assert bank.quality is not None
    for place, source in list(enumerate(bank.sources))[::6]:
        face = reader.read(open_picture(files[source]))
        assert face is not None
        assert np.array_equal(bank.flame[place], face.flame)
        assert bank.quality[place] == np.float32(face.sharpness)
        wanted = np.float32(list(measure(files[source]).values()))
        assert np.array_equal(bank.aus[place], wanted)
    assert bank.about.extractor == "smirk"
    assert bank.about.extractor_fingerprint == f"sha256:{file_sha256(smirk)}"
    assert bank.about.measurer == "libreface-mini"
    mini = Path(__file__).parents[3] / "pipelines" / "mini"
    assert bank.about.measurer_fingerprints == {
        name: file_sha256(mini / name)
        for name in ("au_network.safetensors", "presence.safetensors")
    }
    assert bank.about.licences["smirk"] == LICENCE
    assert bank.about.licences["pictures"] == "CC0"
    assert bank.about.text == "17 pictures of one face each"
    assert (made.left, made.again, made.file) == ((), 0, None)
    assert made.text() == "17 faces of 17 pictures"


def test_what_is_left_out_is_listed_beside_the_bank_and_counted(photos, smirk, tmp_path):
    to = tmp_path / "bank.parquet"
    code, output, errors = bank_of(smirk, photos, "--to", to)
    assert code == 3
    assert output == (
        f"{to}: 2 faces of 7 pictures, 1 the same as another, 1 small, 2 unreadable, 1 without a "
        f"face; see {tmp_path}/bank.left-out.csv\n"
    )
    assert errors == f"left out by its ending: notes.txt\n{READ}\n{KNOWS}\n"
    with (tmp_path / "bank.left-out.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["file", "reason"],
            [f"{photos}/bad.png", "it is no picture of a kind that is known"],
            [f"{photos}/nobody.png", "no face was found"],
            [
                f"{photos}/pipe.png",
                f"the picture {photos}/pipe.png is a named pipe; it must be a regular file",
            ],
            [
                f"{photos}/small.png",
                "the face has a side of 53 pixels; at least 64 are needed",
            ],
        ]
    assert len(Bank.read(to)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "bank.left-out.csv",
        "bank.parquet",
        "photos",
    ]


def test_neither_picture_nor_name_is_in_the_bank(tmp_path, smirk):
    folder = tmp_path / "anna-maria"
    folder.mkdir()
    portrait(4).save(folder / "anna.png")
    code, _, _ = bank_of(smirk, folder, "--to", tmp_path / "bank.parquet")
    assert code == 0
    data = (tmp_path / "bank.parquet").read_bytes()
    assert b"anna" not in data
    assert pq.read_schema(tmp_path / "bank.parquet").names == ["flame", "aus", "source", "quality"]
    source = sha256((folder / "anna.png").read_bytes()).hexdigest()
    assert Bank.read(tmp_path / "bank.parquet").sources == (source,)


def test_a_bank_is_a_function_of_the_set_of_pictures(drawn, smirk, tmp_path):
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    moved = tmp_path / "moved"
    moved.mkdir()
    for number, file in enumerate(sorted(drawn.iterdir(), reverse=True)):
        shutil.copy(file, moved / f"{number:03}.png")
    for name, folder in (("a", drawn), ("b", moved)):
        make_flame_bank([folder], smirk, tmp_path / f"{name}.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    bgr = make_flame_bank([drawn], smirk, bgr=True)
    assert bgr.bank.about.extractor == "smirk-bgr"
    assert not np.array_equal(bgr.bank.flame, Bank.read(tmp_path / "a.parquet").flame)


def test_a_picture_of_two_faces_is_left_out(tmp_path, smirk):
    pytest.importorskip("mediapipe", reason="needs mediapipe")
    both = Image.new("RGB", (800, 400), (90, 120, 150))
    both.paste(portrait(3, 400), (0, 0))
    both.paste(portrait(4, 400), (400, 0))
    both.save(tmp_path / "both.png")
    with pytest.raises(PictureError) as caught:
        make_flame_bank([tmp_path / "both.png"], smirk, tmp_path / "bank.parquet")
    assert str(caught.value) == (
        f"none of the 1 picture can be taken; the first, {tmp_path}/both.png: 2 faces were found; "
        "a bank takes pictures of one"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["both.png"]


def ended(command, how, begun, lines):
    """Start a command, end it by a signal when so much is kept; give its code and errors."""
    # Jobs in the background of a script ignore Ctrl-C, and what they start inherits that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [sys.executable, "-m", "synthgen", *map(str, command)], stderr=subprocess.PIPE, text=True
    )
    signal.signal(signal.SIGINT, before)
    until = time.monotonic() + 300
    while not begun.exists() or begun.read_bytes().count(b"\n") < lines:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
    process.send_signal(how)
    _, errors = process.communicate()
    return process.returncode, errors


def test_killed_and_begun_again_the_bytes_are_those_of_an_unbroken_run(smirk, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(48):
        portrait(seed).save(photos / f"{seed:02}.png")
    Image.new("RGB", (128, 128), "gray").save(photos / "nobody.png")
    to = tmp_path / "killed" / "bank.parquet"
    begun = to.with_name("bank.parquet.begun")
    command = ("flame", "bank", photos, "--to", to, "--smirk", smirk, "--finder", "centered")
    code, errors = ended(command, signal.SIGINT, begun, lines=1)
    assert code == 130
    assert errors.endswith(f"stopped; what was read stays in {begun}, the same command goes on\n")
    code, _ = ended(command, signal.SIGKILL, begun, lines=17)
    assert code == -signal.SIGKILL
    assert [path.name for path in to.parent.iterdir()] == ["bank.parquet.begun"]
    begun.write_bytes(begun.read_bytes() + b'{"source": "cut o')
    read = begun.read_bytes().count(b"\n") - 1
    (photos / "05.png").rename(photos / "moved.png")
    code, output, errors = run(*command)
    assert (code, output.startswith(f"{to}: 48 faces of 49 pictures, 1 without")) == (3, True)
    assert errors == f"{READ}\n{KNOWS}\ngoes on with the {read} pictures of {begun}\n"
    assert not begun.exists()
    make_flame_bank([photos], smirk, tmp_path / "unbroken.parquet", finder="centered")
    assert to.read_bytes() == (tmp_path / "unbroken.parquet").read_bytes()
    assert (to.parent / "bank.left-out.csv").read_bytes() == (
        tmp_path / "unbroken.left-out.csv"
    ).read_bytes()


@pytest.fixture
def begun(photos, smirk, tmp_path):
    """Leave what a command leaves that was killed after its third picture."""
    reader = PictureReader(
        config_or_quickstart(None, ()), smirk, "centered", bgr=False, bounds=FaceBounds()
    )
    left = begun_file(tmp_path / "bank.parquet")
    reader.read(sorted(photos.glob("*.png"))[:3], KeptRows(left, reader.means(), str))
    return left


def test_what_was_begun_otherwise_is_refused(begun, photos, smirk, tmp_path):
    to, command = tmp_path / "bank.parquet", (photos, "--to", tmp_path / "bank.parquet")
    kept = begun.read_bytes()
    assert b"png" not in kept
    end = "; go on as it was begun, or delete it to begin anew\n"
    for more, what in (
        (("--min-side", 32), "bounds"),
        (("--bgr",), "extractor"),
        (("--min-side", 32, "--bgr"), "extractor and bounds"),
    ):
        code, _, errors = bank_of(smirk, *command, *more)
        assert code == 2
        assert errors.endswith(f"error: {begun} was begun with another {what}{end}")
    other = write_smirk(tmp_path / "other.pt", seed=4)
    code, _, errors = bank_of(other, *command)
    assert errors.endswith(f"error: {begun} was begun with another extractor{end}")
    assert begun.read_bytes() == kept
    assert not to.exists()
    assert bank_of(smirk, *command)[0] == 3
    assert to.exists()


def test_a_damaged_or_foreign_file_in_its_place_is_refused(begun, photos, smirk, tmp_path):
    lines = begun.read_bytes().splitlines(keepends=True)
    row = json.loads(lines[-1])
    for content, said in (
        (b"my notes", f"{begun} is not ours; choose another file with --to"),
        (b"{}\n", f"{begun} is not ours; choose another file with --to"),
        (
            b"".join([*lines, b"{}\n"]),
            f"{begun} is damaged in line {len(lines) + 1}; delete it to begin anew",
        ),
        (
            b"".join([lines[0], json.dumps({**row, "kind": None, "flame": [1]}).encode(), b"\n"]),
            f"{begun} is damaged in line 2; delete it to begin anew",
        ),
    ):
        begun.write_bytes(content)
        with pytest.raises(OutputError) as caught:
            make_flame_bank([photos], smirk, tmp_path / "bank.parquet", finder="centered")
        assert str(caught.value) == said
        assert begun.read_bytes() == content


def test_bad_input_is_refused_before_anything_is_written(photos, smirk, tmp_path):
    (tmp_path / "there.parquet").write_text("mine")
    (tmp_path / "listed.left-out.csv").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    ours, there, listed = (tmp_path / f"{name}.parquet" for name in ("new", "there", "listed"))
    away = "choose another file with --to, or move it away"
    for arguments, said in (
        ((photos, "--to", there), f"{there} is there already; {away}"),
        (
            (photos, "--to", listed),
            f"{tmp_path}/listed.left-out.csv is there already; {away}",
        ),
        (
            (photos, "--to", tmp_path / "bank.csv"),
            f"{tmp_path}/bank.csv cannot be written; a bank ends in .parquet",
        ),
        (
            (tmp_path / "none", "--to", ours),
            f"{tmp_path}/none does not exist; name pictures, folders or patterns",
        ),
        (
            (photos, "--to", ours, "--licence", "a\nb"),
            "the licence of the pictures is a b; it must be one line of at most 1,000 characters",
        ),
        (
            (photos, "--to", ours, "--set", "verify={verifier: none}"),
            "verify names no check that measures AUs, so there is nothing to measure pictures "
            "with; name one, such as libreface",
        ),
    ):
        code, output, errors = bank_of(smirk, *arguments)
        assert (code, output) == (2, "")
        assert errors.splitlines()[-1] == f"error: {said}"
    code, _, errors = bank_of(tmp_path / "SMIRK_em1.pt", photos, "--to", ours)
    assert (code, errors.splitlines()[-1]) == (
        2,
        f"error: {tmp_path}/SMIRK_em1.pt does not exist; give SMIRK_em1.pt, which SMIRK's authors "
        "publish without a licence: research only",
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_blurred_face_is_left_out_where_a_sharpness_is_asked_for(drawn, smirk):
    every = make_flame_bank([drawn], smirk, finder="centered").bank.quality
    assert every is not None
    bound = float(np.median(every)) + 0.01
    made = make_flame_bank(
        [drawn], smirk, finder="centered", bounds=FaceBounds(min_sharpness=bound)
    )
    assert len(made.left) == int((every < bound).sum())
    assert {one.kind for one in made.left} == {"blurred"}
    assert made.left[0].reason.startswith("the face is blurred: sharpness ")
