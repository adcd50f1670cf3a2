"""The expression adapter: what it does to images, and what its file must hold."""

import numpy as np
import pytest
import torch
from arc2face_files import (
    EXPRESSION_FILE,
    expressions,
    first_noise,
    make_expression_adapter,
    people,
)
from torch import Tensor

from pipelines import Arc2FacePipeline
from samplers.flame.expression import FlameExpression
from synthgen.errors import BankError, FaceEmbeddingError, WeightsError


@pytest.fixture
def faces(files, pipe) -> Arc2FacePipeline:
    """The tiny pipeline with the expression adapter."""
    pipe.load_expression_adapter(files.expression)
    return pipe


def paint(pipe, *args, rows: int = 1, **kwargs) -> Tensor:
    asked = {"num_inference_steps": 2, "output_type": "latent", **kwargs}
    return pipe(*args, latents=first_noise(rows), **asked).images


def test_a_batch_of_people_and_expressions_equals_its_samples_one_at_a_time(faces):
    together = paint(faces, people(3), expressions(3), rows=3)

    for row in range(3):
        noise = first_noise(3)[row : row + 1]
        alone = faces(
            people(3)[row],
            expressions(3)[row],
            latents=noise,
            num_inference_steps=2,
            output_type="latent",
        ).images
        assert (together[row] - alone[0]).abs().max() <= 1e-4


def test_one_person_shows_many_expressions_and_one_expression_many_people(faces):
    same = np.repeat(people(1), 3, axis=0)
    assert torch.equal(
        paint(faces, people(1), expressions(3), rows=3),
        paint(faces, same, expressions(3), rows=3),
    )
    same = np.repeat(expressions(1), 3, axis=0)
    assert torch.equal(
        paint(faces, people(3), expressions(1), rows=3), paint(faces, people(3), same, rows=3)
    )


def test_images_of_each_sample_keep_its_expression(faces):
    found = paint(faces, people(2), expressions(2), rows=4, num_images_per_prompt=2)

    spread = paint(faces, people(2).repeat(2, 0), expressions(2).repeat(2, 0), rows=4)
    assert (found - spread).abs().max() <= 1e-4


def test_tensors_of_any_kind_are_expressions(faces):
    shown = torch.from_numpy(expressions(1)).bfloat16().requires_grad_()

    found = paint(faces, people(1), shown)

    assert torch.equal(found, paint(faces, people(1), shown.detach().float().numpy()))


def test_conditions_of_a_run_are_expressions(faces):
    shown = [FlameExpression(numbers, "sha256:0") for numbers in expressions(2)]

    found = paint(faces, people(2), shown, rows=2)

    assert torch.equal(found, paint(faces, people(2), expressions(2), rows=2))


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_without_an_expression_and_at_scale_0_images_are_the_plain_ones(files, pipe, guidance):
    plain = paint(pipe, people(1), guidance_scale=guidance)
    pipe.load_expression_adapter(files.expression)

    assert torch.equal(paint(pipe, people(1), guidance_scale=guidance), plain)
    zero = paint(pipe, people(1), expressions(1), expression_scale=0, guidance_scale=guidance)
    assert torch.equal(zero, plain)
    shown = paint(pipe, people(1), expressions(1), guidance_scale=guidance)
    assert (shown - plain).abs().max() > 0.01


def test_unloading_takes_away_what_loading_adds(files, pipe):
    before = {name: type(p) for name, p in pipe.unet.attn_processors.items()}
    names, plain = set(pipe.unet.state_dict()), paint(pipe, people(1))
    pipe.load_expression_adapter(files.expression)
    assert pipe.feature_extractor is None

    pipe.unload_expression_adapter()
    pipe.unload_expression_adapter()

    assert {name: type(p) for name, p in pipe.unet.attn_processors.items()} == before
    assert set(pipe.unet.state_dict()) == names
    assert torch.equal(paint(pipe, people(1)), plain)


def test_another_adapter_takes_its_place(files, faces, tmp_path):
    first = paint(faces, people(1), expressions(1))

    faces.load_expression_adapter(make_expression_adapter(tmp_path, strength=2.0))

    assert (paint(faces, people(1), expressions(1)) - first).abs().max() > 0.01


def test_the_folder_of_the_published_layout_serves(files, pipe, tmp_path):
    make_expression_adapter(tmp_path / "exp_adapter")

    pipe.load_expression_adapter(tmp_path)

    assert paint(pipe, people(1), expressions(1)).isfinite().all()


def test_scales_are_restored_after_an_exception(faces):
    faces.set_ip_adapter_scale(0.5)

    def fail(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        paint(faces, people(1), expressions(1), expression_scale=0.1, callback_on_step_end=fail)

    scales = [p.scale for p in faces.unet.attn_processors.values() if hasattr(p, "scale")]
    assert scales == [[0.5]] * 4


def test_an_expression_without_an_adapter_is_refused(pipe):
    with pytest.raises(WeightsError) as caught:
        pipe(people(1), expressions(1))
    assert str(caught.value) == (
        "the pipeline has no expression adapter; load one by load_expression_adapter first"
    )


def test_a_loaded_adapter_cannot_be_lost_by_saving(faces, tmp_path):
    with pytest.raises(WeightsError) as caught:
        faces.save_pretrained(tmp_path / "saved")
    assert str(caught.value) == (
        "the expression adapter cannot be saved with a pipeline; call unload_expression_adapter "
        "before save_pretrained, and load_expression_adapter after from_pretrained"
    )
    assert not (tmp_path / "saved").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            np.zeros((1, 53)),
            "expression: an expression of FLAME has 55 numbers (50 expression, 2 eyelids, 3 jaw), "
            "and this is an array of shape [1, 53]",
        ),
        (
            np.full((2, 55), np.nan),
            "expression: row 0 (from 0) holds nan at place 0; every number must be finite",
        ),
        ("smile", "expression: numbers are wanted, and these are of type <U5"),
    ],
)
def test_expressions_that_are_none_are_refused(faces, given, said):
    with pytest.raises(BankError) as caught:
        faces(people(1), given)
    assert str(caught.value) == said


def test_numbers_of_people_and_expressions_must_go_together(faces):
    with pytest.raises(FaceEmbeddingError) as caught:
        faces(people(2), expressions(3))
    assert str(caught.value) == (
        "rows that do not go together: 2 of people, 3 of expressions; give one for all samples, or "
        "one for each"
    )


def refusal(pipe, folder, change=None) -> str:
    path = folder / EXPRESSION_FILE
    if change is not None:
        state = torch.load(path, weights_only=True)
        change(state)
        torch.save(state, path)
    before = dict(pipe.unet.attn_processors)
    with pytest.raises(WeightsError) as caught:
        pipe.load_expression_adapter(folder)
    assert dict(pipe.unet.attn_processors) == before
    return str(caught.value).replace(str(path), "FILE").replace(str(folder), "HERE")


def test_an_adapter_of_faces_is_refused(pipe, tmp_path):
    folder = make_expression_adapter(tmp_path, width=512)
    assert refusal(pipe, folder) == (
        "FILE is no expression adapter: it takes 512 numbers, and an expression of FLAME has 55 "
        "(published as exp_adapter.bin)"
    )


def test_an_adapter_of_images_is_refused(pipe, tmp_path):
    folder = make_expression_adapter(tmp_path)
    change = {"latents": torch.zeros(1, 16, 8)}
    assert refusal(pipe, folder, lambda s: s.update(image_proj=change)) == (
        "FILE is no expression adapter: it is an IP-Adapter of another kind, and an expression of "
        "FLAME has 55 (published as exp_adapter.bin)"
    )


def test_what_is_no_adapter_is_refused(pipe, tmp_path):
    folder = make_expression_adapter(tmp_path)
    assert refusal(pipe, folder, lambda s: s.pop("ip_adapter")) == (
        "FILE holds no ip_adapter; it must be an IP-Adapter file of image_proj and ip_adapter"
    )


def test_missing_and_superfluous_weights_are_named(pipe, tmp_path):
    folder = make_expression_adapter(tmp_path)

    def change(state):
        state["ip_adapter"]["99.to_k_ip.weight"] = state["ip_adapter"].pop("1.to_k_ip.weight")

    assert refusal(pipe, folder, change) == (
        "FILE (ip_adapter) does not fit the network; missing: 1.to_k_ip.weight; "
        "unexpected: 99.to_k_ip.weight"
    )


def test_an_adapter_for_another_text_width_is_refused(pipe, tmp_path):
    folder = make_expression_adapter(tmp_path, text_width=520)
    assert refusal(pipe, folder) == (
        "FILE is no expression adapter for this base: its projection has 110 inner and 1040 outer "
        "numbers; they must be multiples of 55 and of the text width 512"
    )


def test_an_adapter_with_code_is_refused(pipe, tmp_path):
    folder = make_expression_adapter(tmp_path)
    assert refusal(pipe, folder, lambda s: s.update(image_proj=print)) == (
        "FILE is refused: it is no PyTorch file of plain tensors, and a pickle can run code"
    )


def test_a_folder_without_an_adapter_is_refused(pipe, tmp_path):
    assert refusal(pipe, tmp_path) == (
        "HERE has no file exp_adapter.bin; it must hold exp_adapter.bin or "
        "exp_adapter/exp_adapter.bin"
    )


def test_another_ip_adapter_is_told_apart(files, pipe, tmp_path):
    make_expression_adapter(tmp_path, width=512)
    pipe.load_ip_adapter(
        str(tmp_path), subfolder="", weight_name=EXPRESSION_FILE, image_encoder_folder=None
    )
    with pytest.raises(WeightsError) as caught:
        pipe(people(1))
    assert str(caught.value) == (
        "the UNet has the IP-Adapters IPAdapterFaceIDImageProjection of 512 numbers; Arc2Face "
        "takes one of 55 numbers: call unload_ip_adapter, then load_expression_adapter"
    )
