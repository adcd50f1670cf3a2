"""`synthgen evaluate faceid` from weights to document."""

import re
from dataclasses import replace

import numpy as np
import pytest
from tiny_face_embedder import face_embedder
from tiny_faceid import make_face_adapter
from tiny_fineface import make_fineface, make_sd
from typer.testing import CliRunner

from pipelines.evaluation.faceid import FaceIdEvaluation, evaluate_faceid
from pipelines.evaluation.faceid_report import (
    EXPRESSIONS,
    by_expression,
    drawn_pictures,
    likeness,
    numbers_of,
    people_requests,
)
from pipelines.evaluation.protocols import au_array
from pipelines.faceid.drawn import FIRST_SEED
from pipelines.training.face_embedder import FIRST_HELD_OUT
from synthgen.action_units import AUS
from synthgen.cli.commands import app
from synthgen.errors import ConfigError, FaceEmbeddingError, WeightsError

EMBEDDINGS = np.eye(3, 512, dtype=np.float32)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_sd(folder)
    make_fineface(folder / "fineface")
    conditioning = face_embedder(folder, seed=0, name="conditioning")
    face_embedder(folder, seed=1, name="judging")
    make_face_adapter(folder / "faceid", "ip_adapter.safetensors", conditioning.fingerprint)
    return folder


def settings(world, **more):
    given = {
        "weights": str(world / "faceid"),
        "base": str(world / "sd"),
        "fineface": str(world / "fineface"),
        "embedder": str(world / "conditioning.safetensors"),
        "judge_embedder": world / "judging.safetensors",
        "people": 2,
        "steps": 1,
        "batch_size": 4,
    }
    return FaceIdEvaluation(**{**given, **more})


@pytest.fixture(scope="module")
def text(world):
    return evaluate_faceid(settings(world), world / "docs" / "people.md", world / "images")


def test_the_document_has_every_table(text):
    said = text.read_text()
    assert re.findall(r"^## (.*)$", said, re.MULTILINE) == [
        "Who is shown, by the conditioning embedder",
        "Who is shown, by the independent embedder",
        "Each expression",
        "Control of the AUs",
        "Weights",
    ]
    assert "2 drawn people whom no training saw, each with 7 expressions: neutral, happy" in said
    assert "14 images, each from its own noise." in said
    assert "4 of 4 images are the same to the bit, the largest difference of a pixel is 0" in said
    for row in ("FineFace with faces", "another person", "text alone", "drawn pictures"):
        assert len(re.findall(rf"^\| {row} \| -?\d\.\d\d \|", said, re.MULTILINE)) == 2
    for row in (*EXPRESSIONS, *AUS, "all"):
        assert f"| {row} | " in said
    assert "ip_adapter/ip_adapter.safetensors" in said
    assert "independent embedder: judging.safetensors" in said
    assert "nan" not in said


def test_the_same_images_give_the_same_document_without_painting(world, text):
    images = world / "images"
    before = {file: file.stat().st_mtime_ns for file in images.iterdir()}
    again = evaluate_faceid(settings(world), world / "again.md", images)
    assert again.read_text() == text.read_text()
    assert {file: file.stat().st_mtime_ns for file in images.iterdir()} == before


def test_the_command_is_told_without_folders(world):
    asked = settings(world, prompt_template="a {person}", noise="identity")
    assert asked.command() == (
        f"synthgen evaluate faceid --weights {world}/faceid --base {world}/sd "
        f"--fineface {world}/fineface --embedder {world}/conditioning.safetensors "
        '--judge-embedder judging.safetensors --people 2 --prompt-template "a {person}" '
        "--noise identity --steps 1 --batch-size 4"
    )


def asked(template="a person", noise="sample", people=3, seed=0):
    return people_requests(EMBEDDINGS[:people], "toy", template, noise, seed)


def test_each_person_shows_each_expression_once():
    requests = asked()
    aus = au_array(requests).reshape(3, 7, 12)
    assert not aus[:, 0].any()
    assert aus[:, 1:].any(-1).all()
    assert aus[aus > 0].min() >= 2
    assert aus.max() <= 5
    assert len({request.prompt.noise for request in requests}) == 21
    names = [request.person.identity_id for request in requests]
    assert names[:8] == ["drawn-4294967296"] * 7 + ["drawn-4294967297"]
    assert len({request.prompt.noise for request in asked(noise="identity")}) == 3
    assert asked(people=2) == requests[:14]


def test_prompts_may_name_traits_of_the_person():
    texts = {request.prompt.number: request.text for request in asked("a {age} {person}")}
    assert all(re.fullmatch(r"an? (young|middle-aged|old) (man|woman)", t) for t in texts.values())
    with pytest.raises(ConfigError) as caught:
        asked("a {dog}")
    assert str(caught.value).startswith(
        "--prompt-template 'a {dog}' cannot be filled; its slots in braces must be among "
    )


def test_no_training_sees_these_people():
    assert FIRST_SEED + numbers_of(100_000)[-1] < FIRST_HELD_OUT
    assert FIRST_SEED > 2**47  # face embedders and judges draw theirs below


def test_a_noise_is_a_picture_of_the_same_person():
    first, second = asked()[:2]
    same = replace(second, aus=first.aus)
    pictures = [np.asarray(image) for image in drawn_pictures().generate([first, same, first])]
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


def test_likeness_counts_what_is_nearest():
    faces = np.zeros((5, 512), np.float32)
    faces[0, 0] = faces[1, 1] = faces[3, 1] = 1
    faces[2, :2] = 0.6, 0.8  # of the first person, but more like the second
    faces[4] = np.nan
    found = likeness(faces, np.array([0, 1, 0, 1, 2]), EMBEDDINGS)
    assert found.faceless == 1
    assert found.wanted.mean == pytest.approx((1 + 1 + 0.6 + 1) / 4)
    assert found.wanted.above == (0.75, 1.0)
    assert found.others.mean == pytest.approx(0.8 / 8)
    assert found.found == 0.75
    assert found.rank1 == 0.75
    assert found.consistency == pytest.approx((0.6 + 1) / 2)
    turns = by_expression(faces[:4], np.array([0, 1, 0, 1]), EMBEDDINGS, ["a", "b"])
    assert turns == pytest.approx({"a": 0.8, "b": 1.0})


def test_the_embedder_that_conditions_cannot_judge(world, tmp_path):
    path = world / "conditioning.safetensors"
    with pytest.raises(WeightsError) as caught:
        evaluate_faceid(settings(world, judge_embedder=path), tmp_path / "x.md", tmp_path)
    assert str(caught.value) == (
        f"--judge-embedder {path} is the embedder that conditions ({path}); give one that "
        "`synthgen train face-embedder` made with other seeds"
    )


def test_an_adapter_of_another_embedder_is_refused(world, tmp_path):
    swapped = settings(
        world,
        embedder=str(world / "judging.safetensors"),
        judge_embedder=world / "conditioning.safetensors",
    )
    with pytest.raises(FaceEmbeddingError, match=r"^the embeddings of drawn-4294967296 were made"):
        evaluate_faceid(swapped, tmp_path / "x.md", tmp_path)
    assert not (tmp_path / "x.md").exists()


def test_missing_weights_end_in_one_sentence(world, tmp_path):
    result = CliRunner().invoke(
        app,
        ["evaluate", "faceid", "--weights", str(tmp_path), "--base", str(world / "sd"),
         "--fineface", str(world / "fineface"), "--people", "2", "--embedder",
         str(world / "conditioning.safetensors"), "--judge-embedder",
         str(world / "judging.safetensors"), "--to", str(tmp_path / "x.md")],
    )  # fmt: skip
    assert isinstance(result.exception, WeightsError)
    assert "ip_adapter.safetensors" in str(result.exception)
