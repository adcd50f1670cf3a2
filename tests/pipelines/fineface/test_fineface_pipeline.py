import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from pipelines.fineface import AUAdapter, FineFacePipeline
from synthgen.action_units import AUS
from synthgen.errors import ActionUnitError, WeightsError

PROMPTS = ["a boy in a park", "an old woman", "a man"]
EXPRESSIONS = [{"AU12": 5.0}, {"AU4": 3.0, "AU9": 2.0}, {"AU1": -2.0, "AU26": 7.0}]
FAST = {"num_inference_steps": 3, "output_type": "latent"}


def latents(pipe: StableDiffusionPipeline, *args: object, **settings: object) -> Tensor:
    return pipe(*args, **{**FAST, **settings}).images


def hooks(pipe: FineFacePipeline) -> int:
    return sum(len(module._forward_pre_hooks) for module in pipe.unet.modules())


def test_batch_equals_its_samples_one_at_a_time(pipe: FineFacePipeline, noise: Tensor) -> None:
    batch = latents(pipe, PROMPTS, EXPRESSIONS, latents=noise)
    singles = [
        latents(pipe, prompt, aus, latents=noise[i : i + 1])
        for i, (prompt, aus) in enumerate(zip(PROMPTS, EXPRESSIONS, strict=True))
    ]

    torch.testing.assert_close(batch, torch.cat(singles), rtol=0, atol=1e-4)


def test_expressions_change_the_image(pipe: FineFacePipeline, noise: Tensor) -> None:
    smile, frown = (latents(pipe, "a boy", {au: 5}, latents=noise[:1]) for au in ("AU12", "AU4"))

    assert (smile - frown).abs().max() > 0.1


def test_scale_0_equals_the_plain_pipeline_with_the_same_lora(
    pipe: FineFacePipeline, sd_folder: Path, fineface_folder: Path, noise: Tensor
) -> None:
    plain = StableDiffusionPipeline.from_pretrained(sd_folder)
    plain.load_lora_weights(fineface_folder, weight_name="pytorch_lora_weights.safetensors")

    found = latents(pipe, PROMPTS, EXPRESSIONS, latents=noise, au_scale=0)

    torch.testing.assert_close(
        found, latents(plain, PROMPTS, latents=noise), rtol=0, atol=1e-4 * found.abs().max().item()
    )


def test_without_aus_it_is_the_plain_pipeline(pipe: FineFacePipeline, noise: Tensor) -> None:
    assert torch.equal(
        latents(pipe, "a boy", latents=noise[:1]),
        StableDiffusionPipeline.__call__(pipe, "a boy", latents=noise[:1], **FAST).images,
    )


def test_lora_scale_is_applied(
    base: FineFacePipeline, sd_folder: Path, fineface_folder: Path, noise: Tensor
) -> None:
    plain = StableDiffusionPipeline.from_pretrained(sd_folder)
    plain.load_lora_weights(fineface_folder, weight_name="pytorch_lora_weights.safetensors")
    expected = latents(plain, PROMPTS, latents=noise, cross_attention_kwargs={"scale": 0.25})
    base.load_au_adapter(fineface_folder, lora_scale=0.25)

    found = latents(base, PROMPTS, EXPRESSIONS, latents=noise, au_scale=0)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * expected.abs().max().item())


@pytest.mark.parametrize(
    "aus",
    [
        {"AU12": 5.0, "AU1": 1},
        [{"AU12": np.float32(5), "AU1": torch.tensor(1.0)}],
        [1, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0],
        np.eye(12)[6] * 5 + np.eye(12)[0],
        torch.tensor([[1.0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0]], dtype=torch.float16),
        [tuple(5.0 if n == "AU12" else float(n == "AU1") for n in AUS)] * 3,
    ],
)
def test_aus_may_be_written_in_many_ways(
    pipe: FineFacePipeline, noise: Tensor, aus: object
) -> None:
    expected = latents(pipe, PROMPTS, [{"AU1": 1.0, "AU12": 5.0}] * 3, latents=noise)

    assert torch.equal(latents(pipe, PROMPTS, aus, latents=noise), expected)


@pytest.mark.parametrize(
    ("aus", "message"),
    [
        (
            {"AU3": 1},
            "unknown Action Unit 'AU3'; the AUs in use are AU1, AU2, AU4, AU5, AU6, AU9, AU12, "
            "AU15, AU17, AU20, AU25, AU26",
        ),
        ({"AU1": "x"}, "intensity of AU1 is 'x'; it must be a finite number"),
        (
            [{"AU1": 1}, {"AU2": 1}],
            "2 AU vectors for 3 prompts; give one for all prompts, or one for each",
        ),
        (
            [],
            "AUs have shape [0]; it must be [12] or [batch, 12]",
        ),
        (np.zeros((3, 11)), "AUs have shape [3, 11]; it must be [12] or [batch, 12]"),
        ([float("nan")] * 12, "AUs hold NaN or infinity; they must be finite numbers"),
        (
            "AU12",
            "AUs must be a dict, a list of dicts, or numbers [12] or [batch, 12]; got str",
        ),
    ],
)
def test_wrong_aus_are_refused(pipe: FineFacePipeline, aus: object, message: str) -> None:
    with pytest.raises(ActionUnitError) as error:
        pipe(PROMPTS, aus)
    assert str(error.value) == message


def test_aus_without_an_adapter_are_refused(base: FineFacePipeline) -> None:
    with pytest.raises(WeightsError) as error:
        base("a boy", {"AU12": 5})
    assert str(error.value) == ("the pipeline has no AU adapter; load one by load_au_adapter first")


def test_several_images_per_prompt_share_its_expression(
    pipe: FineFacePipeline, noise: Tensor
) -> None:
    four = torch.cat([noise, noise[:1]])

    found = latents(pipe, PROMPTS[:2], EXPRESSIONS[:2], latents=four, num_images_per_prompt=2)

    order = [0, 0, 1, 1]
    expected = latents(
        pipe, [PROMPTS[i] for i in order], [EXPRESSIONS[i] for i in order], latents=four
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_generators_of_single_samples_make_them_reproducible(pipe: FineFacePipeline) -> None:
    def draw(seeds: list[int]) -> Tensor:
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        return latents(pipe, PROMPTS[: len(seeds)], {"AU12": 5}, generator=generators)

    torch.testing.assert_close(draw([1, 2, 3])[:2], draw([1, 2]), rtol=0, atol=1e-4)
    assert not torch.allclose(draw([1])[0], draw([2])[0])


def test_prompt_embeddings_may_stand_for_prompts(pipe: FineFacePipeline, noise: Tensor) -> None:
    embeds, _ = pipe.encode_prompt(PROMPTS, "cpu", 1, False)

    found = latents(
        pipe, None, EXPRESSIONS, prompt_embeds=embeds, latents=noise, guidance_scale=1.0
    )

    expected = latents(pipe, PROMPTS, EXPRESSIONS, latents=noise, guidance_scale=1.0)
    torch.testing.assert_close(found, expected)


def test_output_is_a_dict_or_a_tuple(pipe: FineFacePipeline, noise: Tensor) -> None:
    settings = {"num_inference_steps": 2, "latents": noise[:1]}

    output = pipe("a boy", {"AU12": 5}, output_type="np", **settings)
    images, nsfw = pipe("a boy", {"AU12": 5}, output_type="np", return_dict=False, **settings)

    assert np.array_equal(output.images, images)
    assert output.nsfw_content_detected is nsfw is None
    (picture,) = pipe("a boy", {"AU12": 5}, **settings).images
    assert (picture.mode, picture.size) == ("RGB", (32, 32))


def test_hooks_are_gone_after_a_call_and_after_an_error(pipe: FineFacePipeline) -> None:
    seen = []

    def fail(pipe: FineFacePipeline, *_: object) -> dict:
        seen.append(hooks(pipe))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pipe("a boy", {"AU12": 5}, callback_on_step_end=fail, **FAST)

    assert seen == [4]
    assert hooks(pipe) == 0
    latents(pipe, "a boy", {"AU12": 5})
    assert hooks(pipe) == 0


def test_guidance_may_end_on_the_way(pipe: FineFacePipeline, noise: Tensor) -> None:
    def cut(pipe: FineFacePipeline, step: int, _: int, tensors: dict) -> dict:
        if step == 0:
            pipe._guidance_scale = 0.0
            tensors["prompt_embeds"] = tensors["prompt_embeds"][-1:]
        return tensors

    found = latents(
        pipe,
        "a boy",
        {"AU12": 5},
        latents=noise[:1],
        callback_on_step_end=cut,
        callback_on_step_end_tensor_inputs=["latents", "prompt_embeds"],
    )

    assert found.isfinite().all()


def test_bfloat16(pipe: FineFacePipeline, noise: Tensor) -> None:
    expected = latents(pipe, PROMPTS, EXPRESSIONS, latents=noise)
    pipe.to(torch.bfloat16)

    found = latents(pipe, PROMPTS, EXPRESSIONS, latents=noise.bfloat16())

    assert found.dtype == torch.bfloat16
    assert (found.float() - expected).abs().mean() < 0.05 * expected.abs().mean()


@pytest.mark.slow
def test_a_compiled_unet_follows_the_expression(pipe: FineFacePipeline, noise: Tensor) -> None:
    settings = {"latents": noise[:1], "num_inference_steps": 1}
    asked = [None, {"AU12": 5}, {"AU4": 3}, None]
    expected = [latents(pipe, "a boy", aus, **settings) for aus in asked]
    pipe.unet = torch.compile(pipe.unet, backend="eager")

    found = [latents(pipe, "a boy", aus, **settings) for aus in asked]

    torch.testing.assert_close(found, expected)
    torch.compiler.reset()


def test_importing_pipelines_loads_no_torch() -> None:
    code = "import sys, pipelines; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_adapter_refuses_a_token_wider_than_the_text(pipe: FineFacePipeline) -> None:
    with pytest.raises(WeightsError) as error:
        AUAdapter.for_unet(pipe.unet, hidden_size=21)
    assert str(error.value) == (
        "the AU token is 12 + 21 wide; the text embeddings of this UNet hold 32"
    )
