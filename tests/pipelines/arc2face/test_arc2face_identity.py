"""People as the text encoder reads them, and images of them without adapters."""

import numpy as np
import pytest
import torch
from arc2face_files import (
    first_noise,
    make_arc2face,
    make_arc2face_base,
    people,
    tiny_encoder,
    tiny_tokenizer,
)
from diffusers import StableDiffusionPipeline
from torch import Tensor

from pipelines import Arc2FacePipeline
from synthgen.errors import FaceEmbeddingError, PromptError

SHORT = {"num_inference_steps": 2, "output_type": "latent"}


def formula(person: np.ndarray, text_width: int = 512) -> Tensor:
    """Return what a text encoder gives whose vocabulary holds the person under "id"."""
    encoder, tokenizer = tiny_encoder(10, text_width), tiny_tokenizer()
    token = torch.zeros(text_width)
    token[:512] = torch.from_numpy(person / np.linalg.norm(person))
    with torch.no_grad():
        encoder.get_input_embeddings().weight[tokenizer.get_vocab()["id</w>"]] = token
        tokens = tokenizer("photo of a id person", padding="max_length", return_tensors="pt")
        return encoder(tokens.input_ids)[0][0]


def test_people_are_encoded_by_the_formula(pipe):
    found = pipe.encode_identity(people(3))

    expected = torch.stack([formula(person) for person in people(3)])
    assert (found - expected).abs().max() <= 1e-5
    assert (found[0] - found[1]).abs().max() > 0.01


def test_a_wider_text_is_filled_with_zeros(tmp_path):
    base = make_arc2face_base(tmp_path, text_width=528)
    pipe = Arc2FacePipeline.from_pretrained(make_arc2face(tmp_path, text_width=528), base=base)

    found = pipe.encode_identity(people(2)[1])

    assert (found[0] - formula(people(2)[1], 528)).abs().max() <= 1e-5


def test_the_length_of_an_embedding_changes_nothing(pipe):
    short = pipe.encode_identity(1e-30 * people(2))

    assert (short - pipe.encode_identity(people(2) * 1e30)).abs().max() <= 1e-5


@pytest.mark.parametrize("guidance", [3.0, 1.0])
def test_images_without_adapters_are_those_of_stable_diffusion(files, pipe, guidance):
    plain = StableDiffusionPipeline(**pipe.components, requires_safety_checker=False)
    plain.set_progress_bar_config(disable=True)
    asked = {"latents": first_noise(2), "guidance_scale": guidance, **SHORT}

    found = pipe(people(2), **asked).images

    embeds = pipe.encode_identity(people(2))
    assert torch.equal(found, plain(prompt_embeds=embeds, **asked).images)


def test_a_call_takes_25_steps_at_guidance_3_of_dpm_solver(pipe):
    told = []

    def tell(pipeline, step, *_):
        told.append((type(pipeline.scheduler).__name__, pipeline.guidance_scale, step))
        return {}

    pipe(people(1), callback_on_step_end=tell)

    assert told == [("DPMSolverMultistepScheduler", 3.0, step) for step in range(25)]
    assert pipe.scheduler.config.algorithm_type == "dpmsolver++"
    assert pipe.scheduler.config.beta_start == 0.00085


def test_a_batch_equals_its_samples_one_at_a_time(pipe):
    noise = first_noise(3)

    together = pipe(people(3), latents=noise, **SHORT).images

    for row in range(3):
        alone = pipe(people(3)[row], latents=noise[row : row + 1], **SHORT).images
        assert (together[row] - alone[0]).abs().max() <= 1e-4


def test_several_images_of_each_person_stand_side_by_side(pipe):
    generators = [torch.Generator().manual_seed(seed) for seed in range(4)]

    found = pipe(people(2), num_images_per_prompt=2, generator=generators, **SHORT).images

    for image in range(4):
        generator = torch.Generator().manual_seed(image)
        alone = pipe(people(2)[image // 2], generator=generator, **SHORT).images
        assert (found[image] - alone[0]).abs().max() <= 1e-4


def test_output_is_a_dict_or_a_tuple(pipe):
    output = pipe(people(1), num_inference_steps=1)

    assert output.images[0].size == (16, 16)
    assert output.nsfw_content_detected is None
    images, unsafe = pipe(people(1), num_inference_steps=1, return_dict=False)
    assert (images[0].size, unsafe) == ((16, 16), None)


def test_a_callback_may_change_the_latents(pipe):
    def zero(*args):
        return {"latents": torch.zeros_like(args[3]["latents"])}

    found = pipe(people(1), callback_on_step_end=zero, **SHORT).images

    assert not found.any()


def test_encoded_people_may_be_mixed(pipe):
    one, other = pipe.encode_identity(people(2))

    found = pipe(prompt_embeds=(one + other)[None] / 2, latents=first_noise(1), **SHORT).images

    assert found.isfinite().all()


def test_one_negative_prompt_serves_all_people(pipe):
    noise = first_noise(2)

    found = pipe(people(2), negative_prompt="blur", latents=noise, **SHORT).images

    each = pipe(people(2), negative_prompt=["blur", "blur"], latents=noise, **SHORT).images
    assert torch.equal(found, each)
    assert not torch.allclose(found, pipe(people(2), latents=noise, **SHORT).images)


def test_a_negative_prompt_that_would_be_cut_is_refused(pipe):
    with pytest.raises(PromptError, match="the negative prompt has 26 tokens besides begin"):
        pipe(people(1), negative_prompt="abcdefghijklmnopqrstuvwxyz")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.ones((2, 511)), "id_embeds have the shape [2, 511]; it must be [batch, 512] or [512]"),
        (np.ones((0, 512)), "id_embeds have the shape [0, 512]; it must be [batch, 512] or [512]"),
        (
            np.ones((1, 2, 512)),
            "id_embeds have the shape [1, 2, 512]; it must be [batch, 512] or [512]",
        ),
        ("anna", "id_embeds must be numbers [batch, 512] or [512]; got str"),
        (
            np.full((1, 512), np.nan),
            "id_embeds hold NaN or infinity; they must be finite numbers",
        ),
        (
            np.stack([np.ones(512), np.zeros(512)]),
            "id_embeds: row 1 (from 0) is zero; a person's embedding has a direction",
        ),
        (
            None,
            "give people as id_embeds or, encoded already, as prompt_embeds; exactly one of the "
            "two",
        ),
    ],
)
def test_embeddings_that_are_none_are_refused(pipe, given, said):
    with pytest.raises(FaceEmbeddingError) as caught:
        pipe(given)
    assert str(caught.value) == said


def test_nothing_of_a_call_stays_in_the_text_encoder_after_an_exception(pipe):
    pipe.text_encoder.final_layer_norm.register_forward_hook(lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        pipe(people(1))

    assert not pipe.text_encoder.get_input_embeddings()._forward_hooks
