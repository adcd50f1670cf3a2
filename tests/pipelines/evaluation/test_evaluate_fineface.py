"""`synthgen evaluate fineface` from weights to document."""

import inspect
import json
import re
from pathlib import Path

import pytest
from tiny_evaluation import make_adapter, make_base, make_judge_file
from tiny_fineface import make_fineface
from typer.testing import CliRunner

from pipelines.evaluation.fineface import (
    FineFaceEvaluation,
    evaluate_fineface,
    find_adapters,
    table_2,
    table_3,
)
from pipelines.evaluation.judges import find_encoder
from synthgen.cli.commands import app
from synthgen.cli.evaluate import faceid, fineface, outside
from synthgen.errors import WeightsError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_base(folder)
    make_fineface(folder / "fineface")
    make_judge_file(folder / "judge.safetensors")
    make_adapter(folder / "encoders" / "plain")
    make_adapter(folder / "encoders" / "unsmoothed", smoothed=False)
    return folder


def settings(world, **more):
    return FineFaceEvaluation(
        weights=str(world / "fineface"),
        base=str(world / "sd"),
        judge=world / "judge.safetensors",
        prompts=2,
        combinations=1,
        row_prompts=1,
        steps=1,
        **more,
    )


@pytest.fixture(scope="module")
def images(world):
    return world / "images"


@pytest.fixture(scope="module")
def text(world, images):
    asked = settings(world, encoders=world / "encoders")
    return evaluate_fineface(asked, world / "docs" / "results.md", images).read_text()


def sections(text):
    return [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]


def test_the_document_has_every_table(text):
    assert sections(text) == [
        "AU accuracy and likeness (Table 1 of the paper)",
        "Control of each AU, read by libreface-mini",
        "Control of each AU, read by second judge",
        "Errors",
        "Identity",
        "AU encoders (Table 2 of the paper)",
        "Label smoothing (Table 3 of the paper)",
        "Weights",
    ]
    # The tiny models generate noise, in which the verifier finds few faces or none.
    assert re.search(
        r"Images with AUs: 122\. Judges: libreface-mini, second judge\. Faces not found: \d+\.",
        text,
    )
    assert "Each trained for this table, with 1,200 steps of 4 examples." in text
    assert "| AU12 | lip corner puller |" in text
    assert "| Res + MLP, 64 wide (ours) | combinations |" in text
    assert "| labels as they are | individual AUs |" in text
    assert "| fineface/au_encoder.ckpt | `" in text
    assert "nan" not in text


def test_the_same_images_give_the_same_document_without_painting(text, world, images):
    before = {file: file.stat().st_mtime_ns for file in images.iterdir()}
    asked = settings(world, encoders=world / "encoders")
    again = evaluate_fineface(asked, world / "again.md", images).read_text()
    assert again == text
    assert {file: file.stat().st_mtime_ns for file in images.iterdir()} == before


def test_rows_and_judge_can_be_left_out(text, world, images):
    asked = settings(world).model_copy(update={"judge": None, "row_prompts": 0})
    short = evaluate_fineface(asked, world / "short.md", images).read_text()
    assert sections(short) == [
        "AU accuracy and likeness (Table 1 of the paper)",
        "Control of each AU, read by libreface-mini",
        "Errors",
        "Weights",
    ]
    assert "AUs in words" not in short


def test_the_command_is_told_without_folders(world):
    asked = settings(world, encoders=world / "encoders", seed=3)
    assert asked.command() == (
        f"synthgen evaluate fineface --weights {world}/fineface --base {world}/sd "
        "--judge judge.safetensors --prompts 2 --combinations 1 --row-prompts 1 "
        "--encoders encoders --steps 1 --seed 3"
    )


def test_rows_stand_in_the_order_of_the_paper(tmp_path):
    for name, encoder, smoothed in (
        ("a", "mlp", True),
        ("b", "res_mlp64", False),
        ("c", "res_mlp64", True),
        ("d", "none", True),
    ):
        make_adapter(tmp_path / name, encoder, smoothed)
    (tmp_path / "latents").mkdir()
    found = find_adapters(tmp_path)
    assert [adapter.name for _, adapter in table_2(found)] == ["c", "d", "a"]
    assert [(label, adapter.name) for label, adapter in table_3(found)] == [
        ("labels perturbed", "c"),
        ("labels as they are", "b"),
    ]
    assert table_3([adapter for adapter in found if adapter.smoothed]) == []


def test_a_folder_without_adapters_is_refused(tmp_path):
    with pytest.raises(WeightsError) as caught:
        find_adapters(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} holds no adapter; each of its folders must be one that `synthgen train "
        "fineface` wrote"
    )
    with pytest.raises(WeightsError, match=f"^folder of encoders {tmp_path}/no does not exist$"):
        find_adapters(tmp_path / "no")


def test_a_card_that_does_not_tell_the_encoder_is_refused(tmp_path):
    make_adapter(tmp_path / "a")
    card = tmp_path / "a" / "fineface" / "card.json"
    card.write_text(json.dumps({"steps": 3}))
    with pytest.raises(WeightsError) as caught:
        find_adapters(tmp_path)
    assert str(caught.value) == (
        f"{card} does not say which encoder was trained, on which labels, and how long; "
        "`synthgen train fineface` writes it"
    )


def test_half_an_image_encoder_is_refused(tmp_path):
    (tmp_path / "image_encoder").mkdir()
    assert find_encoder(tmp_path / "image_encoder") is None
    with pytest.raises(WeightsError) as caught:
        find_encoder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/image_encoder has no config.json, model.safetensors; CLIP-I needs it"
    )


def test_missing_weights_end_in_one_sentence(world, tmp_path):
    judge = tmp_path / "judge.safetensors"
    result = CliRunner().invoke(
        app,
        ["evaluate", "fineface", "--weights", str(world / "fineface"), "--base", str(world / "sd"),
         "--judge", str(judge), "--to", str(tmp_path / "x.md")],
    )  # fmt: skip
    assert isinstance(result.exception, WeightsError)
    assert str(result.exception) == (
        f"judge {judge} does not exist; `synthgen train judge CONFIG --to FOLDER` makes one"
    )
    asked = settings(world).model_copy(update={"weights": "./nowhere"})
    with pytest.raises(WeightsError, match="nowhere"):
        evaluate_fineface(asked, tmp_path / "x.md", tmp_path / "images")
    assert not (tmp_path / "x.md").exists()


def test_the_commands_write_no_page_of_the_project_unasked():
    for command in (fineface, faceid, outside):
        assert inspect.signature(command).parameters["to"].default == Path(
            f"out/evaluate/{command.__name__}.md"
        )
