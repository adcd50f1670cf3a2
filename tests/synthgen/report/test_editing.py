"""`synthgen edit`: another expression in one picture, and the way to it."""

import importlib
import io
import os
import sys

import numpy as np
import pytest
import yaml
from flame_banks import bank_around
from PIL import Image
from smirk_files import write_smirk
from tiny_face_embedder import face_embedder, portrait
from typer.testing import CliRunner

from pipelines.faceid.references import aligned_face
from pipelines.procedural.geometry import EYE_LEFT, EYE_RIGHT, MOUTH
from pipelines.smirk import SmirkEncoder
from pipelines.smirk.faces import ExpressionReader, load_finder
from synthgen.cli.commands import app
from synthgen.errors import ConfigError, OutputError, PictureError

MADE_UP = '''
from io import BytesIO

import numpy as np
from PIL import Image

from pipelines.interfaces import ImageSource
from samplers.flame import FlameExpression
from samplers.identities import FaceIdentity
from samplers.identities.reference import ReferenceImage
from synthgen.config.pipeline import PipelineSection
from synthgen.errors import ConfigError

SEEN = []


class Brush(PipelineSection):
    """Paints the picture of a person, and the FLAME numbers over its first lines."""

    needs = frozenset({"aus", "faceid", "flame"})
    takes = frozenset({"reference"})
    able: bool = True

    def check(self, run):
        if "reference" in run.identities.given() and not self.able:
            raise ConfigError("this brush has no reference adapter")

    def load(self, device):
        return BrushSource()


class BrushSource(ImageSource):
    def generate(self, attempts):
        assert len(attempts) == 1
        SEEN.extend(attempts)
        return [self.paint(attempt.spec) for attempt in attempts]

    def paint(self, spec):
        spec.condition("faceid", FaceIdentity)
        picture = spec.condition("reference", ReferenceImage)
        pixels = np.array(Image.open(BytesIO(picture.data)))
        numbers = spec.condition("flame", FlameExpression).numbers
        pixels[:8, : len(numbers)] = np.clip(128 + 50 * numbers, 0, 255)[None, :, None]
        return Image.fromarray(pixels)
'''

SMILE = np.eye(12, dtype=np.float32)[6] * 4


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Return a function that runs the command on somebody's portrait."""
    module = f"brush_{os.urandom(4).hex()}"
    (tmp_path / f"{module}.py").write_text(MADE_UP)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    face_embedder(tmp_path)
    portrait(1).save("face.png")
    portrait(5).save("laughing.png")
    bank_around([SMILE, 0 * SMILE], spread=0.1).write("bank.parquet")
    write_smirk("smirk.pt")

    def run(*words, picture="face.png", pipeline=None, to="out.png", **keys):
        data = {
            "name": "edits",
            "seed": 3,
            "samples": 6,
            "output": {"path": "dataset"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {"source": "faceid", "store": "people.parquet"},
            "pipeline": {"name": pipeline or f"{module}:Brush", **keys},
            "verify": {"verifier": "libreface", "weights": "mini", "aligner": "centered"},
        }
        (tmp_path / "run.yaml").write_text(yaml.safe_dump(data))
        means = ["--embedder", "mini", "--model", "tiny.safetensors", "--finder", "centered"]
        return CliRunner().invoke(
            app,
            ["edit", picture, "-o", to, "--config", "run.yaml", *means, *words],
            catch_exceptions=False,
        )

    run.seen = lambda: sys.modules[module].SEEN
    return run


def read_by_smirk(picture):
    reader = ExpressionReader(SmirkEncoder.from_file("smirk.pt"), load_finder("centered"))
    return reader.read(Image.open(picture).convert("RGB")).flame


def test_a_picture_gets_the_expression_by_which_the_bank_shows_aus(edit):
    done = edit("--au", "AU12=4", "--bank", "bank.parquet")
    assert (done.exit_code, done.stdout) == (0, "out.png\n")
    (attempt,) = edit.seen()
    assert attempt.spec.aus[6] == 4
    made = np.asarray(Image.open("out.png"))
    expected = aligned_face(portrait(1), 128 * np.array([EYE_LEFT, EYE_RIGHT, MOUTH]))
    assert made.shape == (512, 512, 3)
    assert np.abs(made[8:].astype(int) - np.asarray(expected)[8:]).max() <= 1
    again = np.array(edit.seen()[0].spec.conditions["flame"].numbers)
    for seed in ("0", "1", "2", "3"):
        edit("--au", "AU12=4", "--bank", "bank.parquet", "--seed", seed)
    found = [attempt.spec.conditions["flame"].numbers for attempt in edit.seen()]
    assert np.array_equal(found[1], again)
    assert len({numbers.tobytes() for numbers in found}) > 1


def test_a_picture_gets_the_expression_of_another_one(edit):
    edit("--expression", "laughing.png", "--smirk", "smirk.pt")
    (attempt,) = edit.seen()
    expression = attempt.spec.conditions["flame"]
    np.testing.assert_array_equal(expression.numbers, read_by_smirk("laughing.png"))
    assert expression.source == "laughing.png"


def test_frames_go_from_its_own_expression_to_the_one_asked_for(edit, tmp_path):
    done = edit("--expression", "laughing.png", "--smirk", "smirk.pt", "--frames", "5")
    assert done.stdout == "out-00.png … out-04.png: 5 pictures\n"
    assert sorted(path.name for path in tmp_path.glob("out*")) == [
        f"out-0{number}.png" for number in range(5)
    ]
    first, last = read_by_smirk("face.png"), read_by_smirk("laughing.png")
    found = [attempt.spec.conditions["flame"].numbers for attempt in edit.seen()]
    for share, numbers in zip((0, 0.25, 0.5, 0.75, 1), found, strict=True):
        np.testing.assert_allclose(numbers, (1 - share) * first + share * last, atol=1e-6)
    assert len({attempt.seed for attempt in edit.seen()}) == 1
    assert len({attempt.spec.conditions["reference"] for attempt in edit.seen()}) == 1


def test_a_sweep_is_one_strip_from_the_neutral_face(edit):
    done = edit("--au", "AU12=4", "--bank", "bank.parquet", "--sweep", "--from", "neutral")
    assert done.stdout == "out.png\n"
    strip = Image.open("out.png")
    assert strip.width >= 6 * 256
    assert len(edit.seen()) == 6
    edit("--au", "AU12=4", "--bank", "bank.parquet", "--sweep", "--from", "laughing.png",
         "--smirk", "smirk.pt", "--frames", "3")  # fmt: skip
    assert len(edit.seen()) == 9
    begun = edit.seen()[6].spec.conditions["flame"].numbers
    np.testing.assert_array_equal(begun, read_by_smirk("laughing.png"))


def refused(edit, error, *words, **others):
    with pytest.raises(error) as caught:
        edit(*words, **others)
    assert not os.path.exists("out.png")
    return str(caught.value)


def test_pictures_without_one_face_are_refused(edit):
    Image.new("RGB", (128, 128), "gray").save("grey.png")
    with open("torn.png", "wb") as file:
        file.write(b"no picture")
    words = ["--expression", "grey.png", "--smirk", "smirk.pt"]
    assert refused(edit, PictureError, *words) == (
        "no face was found in grey.png; give a picture of one face"
    )
    assert refused(edit, PictureError, "--au", "AU12=4", "--bank", "bank.parquet",
                   picture="torn.png") == (
        "torn.png cannot be used: it is no picture of a kind that is known"
    )  # fmt: skip


def test_a_picture_of_several_faces_is_refused(edit):
    scene = Image.new("RGB", (900, 500), (120, 130, 140))
    for seed, size, place in ((8, 220, (20, 140)), (5, 420, (260, 40)), (9, 200, (690, 150))):
        scene.paste(portrait(seed, size), place)
    scene.save("scene.png")
    words = ["--expression", "scene.png", "--smirk", "smirk.pt", "--finder", "mediapipe"]
    assert refused(edit, PictureError, *words) == (
        "3 faces were found in scene.png; give a picture of one face"
    )


def test_what_is_asked_for_needs_its_means(edit):
    assert refused(edit, ConfigError, "--au", "AU12=4") == (
        "AUs are shown by the faces of a bank, and run.yaml names none; give --bank bank.parquet, "
        "or set expressions.flame"
    )
    assert refused(edit, ConfigError, "--expression", "laughing.png") == (
        "the expression of a picture is read by SMIRK; give its weights, --smirk SMIRK_em1.pt, or "
        "take AUs alone: --au AU12=4, and --from neutral for a way"
    )
    bank = ["--bank", "bank.parquet"]
    assert refused(edit, ConfigError, *bank) == (
        "nothing says which expression is wanted; give --au AU12=4, or --expression PHOTO"
    )
    assert refused(edit, ConfigError, *bank, "--au", "AU12=4", "--expression", "face.png") == (
        "--au and --expression both say the expression; give one of them"
    )
    assert refused(edit, ConfigError, *bank, "--au", "AU12=4", "--from", "neutral") == (
        "--from begins a way; give --frames N or --sweep too"
    )
    words = [*bank, "--expression", "laughing.png", "--smirk", "smirk.pt", "--bgr"]
    assert refused(edit, ConfigError, *words) == (
        "expressions.flame.extractor is 'smirk', and smirk.pt reads pictures as 'smirk-bgr'; "
        "numbers of two extractors mean different things"
    )
    far = refused(edit, ConfigError, *bank, "--au", "AU4=5")
    assert far.startswith(
        "expressions.flame: no face of bank.parquet would be accepted by the run's checks for 1 of "
        "1 requests; AU4=5.0, for example, is "
    )


def test_pipelines_that_edit_nothing_are_refused(edit):
    said = refused(edit, ConfigError, "--au", "AU12=4", pipeline="procedural")
    assert said.startswith(
        "the pipeline 'procedural' of run.yaml does not edit expressions of pictures: it uses no "
        "faceid"
    )
    assert refused(edit, ConfigError, "--au", "AU12=4", able=False) == (
        "this brush has no reference adapter"
    )


def test_files_that_cannot_be_written_are_refused_before_any_work(edit):
    words = ["--au", "AU12=4", "--bank", "bank.parquet"]
    assert refused(edit, OutputError, *words, to="out.parquet") == (
        "cannot write out.parquet: its ending names no format of pictures"
    )
    assert refused(edit, OutputError, *words, to="nowhere/out.png") == (
        "cannot write nowhere/out.png: its folder does not exist"
    )


def test_pictures_that_are_read_are_not_written_over(edit, tmp_path):
    os.symlink("face.png", "link.png")
    os.rename("laughing.png", "out-01.png")
    kept = {name: (tmp_path / name).read_bytes() for name in ("face.png", "out-01.png")}
    smirk = ["--smirk", "smirk.pt", "--expression", "out-01.png"]
    for to, lost, *words in (
        ("face.png", "face.png", "--au", "AU12=4", "--bank", "bank.parquet"),
        ("link.png", "link.png", "--au", "AU12=4", "--bank", "bank.parquet"),
        ("out-01.png", "out-01.png", *smirk),
        ("out.png", "out-01.png", *smirk, "--frames", "2"),
    ):
        assert refused(edit, OutputError, *words, to=to) == (
            f"cannot write {lost}: it is a picture that is read; choose another file with --to"
        )
    assert kept == {name: (tmp_path / name).read_bytes() for name in kept}


def test_the_picture_is_kept_without_loss(edit):
    edit("--au", "AU12=4", "--bank", "bank.parquet")
    data = edit.seen()[0].spec.conditions["reference"].data
    assert Image.open(io.BytesIO(data)).format == "PNG"
