"""The published layout and folders of diffusers: read strictly, with what is wrong named."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from arc2face_files import (
    first_noise,
    make_arc2face,
    make_arc2face_base,
    make_arc2face_whole,
    people,
)
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file

from pipelines import Arc2FacePipeline
from synthgen.errors import WeightsError

SHORT = {"num_inference_steps": 2, "output_type": "latent"}
UNET = "arc2face/diffusion_pytorch_model.safetensors"


@pytest.fixture
def published(files, tmp_path) -> Path:
    """A copy of the published files, to be damaged."""
    return Path(shutil.copytree(files.published, tmp_path / "copy"))


def change_encoder(folder: Path, change) -> None:
    path = folder / "encoder" / "pytorch_model.bin"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)


def refusal(published: Path, base: Path) -> str:
    with pytest.raises(WeightsError) as caught:
        Arc2FacePipeline.from_pretrained(published, base=base)
    return str(caught.value).replace(f"{published}", "HERE").replace(f"{base}", "BASE")


def test_both_layouts_give_the_same_images(files, pipe, tmp_path):
    whole = Arc2FacePipeline.from_pretrained(make_arc2face_whole(tmp_path))

    found = whole(people(2), latents=first_noise(2), **SHORT).images

    assert torch.equal(found, pipe(people(2), latents=first_noise(2), **SHORT).images)


def test_a_saved_pipeline_is_loaded_again(pipe, tmp_path):
    pipe.save_pretrained(tmp_path)

    again = Arc2FacePipeline.from_pretrained(tmp_path)

    found = again(people(1), latents=first_noise(1), **SHORT).images
    assert torch.equal(found, pipe(people(1), latents=first_noise(1), **SHORT).images)
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == (
        "Arc2FacePipeline"
    )


def test_a_scheduler_that_is_given_stays(files):
    pipe = files.pipeline(scheduler=DDIMScheduler(steps_offset=1, clip_sample=False))

    assert isinstance(pipe.scheduler, DDIMScheduler)


def test_the_number_format_is_that_which_is_asked_for(files):
    pipe = files.pipeline(dtype=torch.bfloat16)

    assert {part.dtype for part in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.bfloat16}
    assert pipe(people(1), **SHORT).images.isfinite().all()


def test_a_text_encoder_in_safetensors_serves_too(files, published):
    change = torch.load(published / "encoder" / "pytorch_model.bin", weights_only=True)
    change.pop("text_model.embeddings.position_ids")
    save_file(change, published / "encoder" / "model.safetensors", metadata={"format": "pt"})
    (published / "encoder" / "pytorch_model.bin").unlink()

    pipe = Arc2FacePipeline.from_pretrained(published, base=files.base)

    expected = files.pipeline().encode_identity(people(1))
    assert torch.equal(pipe.encode_identity(people(1)), expected)


def test_missing_weights_are_named(files, published):
    change_encoder(published, lambda s: s.pop("text_model.final_layer_norm.bias"))
    assert refusal(published, files.base) == (
        "HERE/encoder does not fit its config.json; missing keys: final_layer_norm.bias"
    )


def test_superfluous_weights_are_named(files, published):
    change_encoder(published, lambda s: s.update({"text_model.extra": torch.zeros(2)}))
    assert refusal(published, files.base) == (
        "HERE/encoder does not fit its config.json; unexpected keys: extra"
    )


def test_weights_of_another_shape_are_named(files, published):
    name = "text_model.final_layer_norm.bias"
    change_encoder(published, lambda s: s.update({name: torch.zeros(2)}))
    said = refusal(published, files.base)
    assert said.startswith("HERE/encoder does not fit its config.json; mismatched keys: ")
    assert "final_layer_norm.bias" in said


def test_missing_and_superfluous_weights_of_the_unet_are_named(files, published):
    state = load_file(published / UNET)
    save_file({**state, "more.weight": torch.zeros(2)}, published / UNET)
    assert refusal(published, files.base) == (
        "HERE/arc2face does not fit its config.json; unexpected keys: more.weight"
    )
    del state["conv_in.bias"]
    save_file(state, published / UNET)
    assert refusal(published, files.base) == (
        "HERE/arc2face does not fit its config.json; missing keys: conv_in.bias"
    )


def test_a_text_encoder_with_code_is_refused(files, published):
    change_encoder(published, lambda s: s.update({"hook": print}))
    assert refusal(published, files.base) == (
        "HERE/encoder/pytorch_model.bin is refused: it is no PyTorch file of plain tensors, and a "
        "pickle can run code"
    )


def test_a_text_encoder_of_whole_numbers_is_refused(files, published):
    name = "text_model.final_layer_norm.bias"
    change_encoder(published, lambda s: s.update({name: torch.zeros(512, dtype=torch.int64)}))
    assert refusal(published, files.base) == (
        f"HERE/encoder/pytorch_model.bin: {name} holds numbers of the format torch.int64; weights "
        "must be floating-point numbers"
    )


def test_a_text_encoder_with_nan_is_refused(files, published):
    change_encoder(published, lambda s: s["text_model.final_layer_norm.bias"].fill_(torch.nan))
    assert refusal(published, files.base) == (
        "HERE/encoder: final_layer_norm.bias holds values that are not finite numbers (512 of "
        "512); take another file, or download it again"
    )


def test_a_folder_without_the_layout_is_refused(files, tmp_path):
    assert refusal(tmp_path, files.base) == (
        "HERE has no file arc2face/config.json; it must hold arc2face/config.json, "
        "arc2face/diffusion_pytorch_model.safetensors, encoder/config.json"
    )


def test_a_published_folder_without_its_base_is_refused(files):
    with pytest.raises(WeightsError, match=r"has no file model_index\.json; it must hold"):
        Arc2FacePipeline.from_pretrained(files.published)


def test_a_text_too_narrow_for_an_embedding_is_refused(tmp_path):
    base = make_arc2face_base(tmp_path, text_width=508)
    published = make_arc2face(tmp_path, text_width=508)
    assert refusal(published, base) == (
        "the text encoder's embeddings are 508 wide; Arc2Face puts a face embedding of 512 numbers "
        "into one, so they must be at least as wide (Stable Diffusion 1.5 has 768)"
    )


def test_a_tokenizer_that_splits_the_word_is_refused(files, tmp_path):
    base = make_arc2face_base(tmp_path, whole_id=False)
    assert refusal(files.published, base) == (
        "the tokenizer splits 'id' into 2 tokens; Arc2Face puts the face embedding in the place of "
        "that one token, so take the tokenizer of Stable Diffusion 1.5"
    )


def test_parts_that_are_given_are_not_loaded(files, pipe):
    again = Arc2FacePipeline.from_pretrained(
        files.published, base=files.base, unet=pipe.unet, vae=pipe.vae
    )
    assert again.unet is pipe.unet
    assert again.vae is pipe.vae
