"""Guidance of the text alone: in calls, in a run's configuration, and in what is told of a run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_faceid import make_face_adapter, people
from torch import Tensor

from pipelines.fineface import FineFaceIPAdapterPipeline
from pipelines.fineface.section import FineFaceConfig, FineFaceSection
from pipelines.fineface.source import FineFaceSource
from pipelines.loading import doubts
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_vector
from synthgen.config import RunConfig, parse_config
from synthgen.config.base import Weights
from synthgen.errors import ConfigError

PROMPTS = ["a boy in a park", "an old woman", "a man"]
EXPRESSIONS = [{"AU12": 5}, {"AU4": 3, "AU15": 1}, {}]
TWO_GUIDANCES = (
    "guidance_scale is 3 and text_guidance_scale is 2; give one of them (beside "
    "text_guidance_scale, guidance_scale must be left out or {usual})"
)
MINI = {"name": "fineface", "weights": "mini"}


def run(pipeline: dict[str, object], **identities: object) -> RunConfig:
    people = {"source": "prompts", "template": "a face", **identities}
    if pipeline["name"] == "fineface-faceid":
        people = {"source": "faceid", "store": "mini"}
    return parse_config(
        {
            "name": "guided",
            "seed": 1,
            "samples": 4,
            "output": {"path": "out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {**people, "expressions_per_identity": 4},
            "verify": {"aligner": "centered"},
            "pipeline": pipeline,
        }
    )


def latents(pipe: Any, noise: Tensor, *faces: np.ndarray, **settings: object) -> Tensor:
    asked = {"num_inference_steps": 2, "output_type": "latent", **settings}
    return pipe(PROMPTS, EXPRESSIONS, *faces, latents=noise, **asked).images


def test_without_text_guidance_calls_are_what_they_were(pipe, noise: Tensor) -> None:
    usual = latents(pipe, noise)

    assert torch.equal(latents(pipe, noise, guidance_scale=7.5, text_guidance_scale=None), usual)
    assert not torch.allclose(latents(pipe, noise, text_guidance_scale=7.5), usual, atol=1e-3)


def test_without_aus_both_guidances_are_one(pipe, noise: Tensor) -> None:
    settings = {"latents": noise, "num_inference_steps": 2, "output_type": "latent"}
    one, other = (
        pipe(PROMPTS, None, **{key: 3.0}, **settings).images
        for key in ("guidance_scale", "text_guidance_scale")
    )
    assert torch.equal(one, other)


@pytest.mark.parametrize("scale", [1, 0.0])
def test_text_guidance_of_at_most_one_is_none(pipe, noise: Tensor, scale: float) -> None:
    expected = latents(pipe, noise, guidance_scale=1.0)
    assert torch.equal(latents(pipe, noise, text_guidance_scale=scale), expected)


def test_several_images_of_a_prompt_have_its_aus_in_both_halves(pipe, noise: Tensor) -> None:
    twice = noise.repeat_interleave(2, 0)
    found = latents(pipe, twice, text_guidance_scale=3, num_images_per_prompt=2)
    expected = latents(pipe, noise, text_guidance_scale=3).repeat_interleave(2, 0)
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_call_with_two_guidances_is_refused(pipe, noise: Tensor) -> None:
    with pytest.raises(ValueError, match="guidance_scale is 3") as error:
        latents(pipe, noise, guidance_scale=3, text_guidance_scale=2)
    assert str(error.value) == TWO_GUIDANCES.format(usual="7.5")

    said = latents(pipe, noise, guidance_scale=7.5, text_guidance_scale=2)
    assert torch.equal(said, latents(pipe, noise, text_guidance_scale=2))


def test_with_faces_a_batch_is_its_singles_and_two_guidances_are_refused(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path, noise: Tensor
) -> None:
    pipe: Any = FineFaceIPAdapterPipeline.from_pretrained(sd_folder)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_au_adapter(fineface_folder)
    adapter = make_face_adapter(tmp_path)
    pipe.load_ip_adapter(
        str(tmp_path), subfolder="", weight_name=adapter.name, image_encoder_folder=None
    )
    shown = people(3, 2)
    settings = {"num_inference_steps": 2, "output_type": "latent", "text_guidance_scale": 3}

    batch = latents(pipe, noise, shown, text_guidance_scale=3)
    singles = [
        pipe(prompt, aus, shown[[i]], latents=noise[[i]], **settings).images
        for i, (prompt, aus) in enumerate(zip(PROMPTS, EXPRESSIONS, strict=True))
    ]

    assert torch.allclose(batch, torch.cat(singles), atol=1e-5)
    with pytest.raises(ValueError, match="guidance_scale is 3") as error:
        latents(pipe, noise, shown, guidance_scale=3, text_guidance_scale=2)
    assert str(error.value) == TWO_GUIDANCES.format(usual="7.5")


def attempt(number: int) -> Attempt:
    spec = SampleSpec(
        index=number,
        split="train",
        position=number,
        replacement=0,
        stratum="happy",
        conditions={"aus": au_vector(EXPRESSIONS[number])},
        emotion=None,
        identity_id="identity-0",
        identity={},
        identity_seed=0,
        prompt=PROMPTS[number],
        negative_prompt="blurry" if number else "",
    )
    return Attempt(spec=spec, number=0, seed=number)


def test_a_run_paints_with_the_text_guidance_of_its_configuration(
    sd_folder: Path, fineface_folder: Path
) -> None:
    def source(**keys: object) -> FineFaceSource:
        weights = {"base": str(sd_folder), "fineface": str(fineface_folder)}
        section = {"name": "fineface", "weights": weights, "num_inference_steps": 2, **keys}
        return FineFaceSource(FineFaceConfig.model_validate(section), "cpu")

    def pixels(images: list) -> np.ndarray:
        return np.stack([np.asarray(image, int) for image in images])

    guided, plain = source(text_guidance_scale=3), source()
    attempts = [attempt(number) for number in range(3)]
    batch = pixels(guided.generate(attempts))

    singles = pixels([guided.generate([one])[0] for one in attempts])
    assert np.abs(batch - singles).max() <= 1
    asked = {**plain._arguments(attempts), "guidance_scale": None, "text_guidance_scale": 3}
    assert np.array_equal(batch, pixels(plain._pipeline(**asked).images))
    assert not np.array_equal(batch, pixels(plain.generate(attempts)))


def test_a_configuration_without_it_stays_the_same_data() -> None:
    section = FineFaceConfig.model_validate(MINI)
    guided = FineFaceConfig.model_validate({**MINI, "text_guidance_scale": 2})

    assert "text_guidance_scale" not in section.model_dump(mode="json")
    assert "text_guidance_scale" not in section.identity()
    assert FineFaceConfig.model_validate({**MINI, "text_guidance_scale": None}) == section
    assert guided.identity() == {**section.identity(), "text_guidance_scale": 2.0}


@pytest.mark.parametrize(
    ("pipeline", "usual"),
    [
        (MINI, "1.2"),
        ({"name": "fineface-faceid", "weights": "mini"}, "1.2"),
        ({"name": "fineface", "weights": {"base": "b", "fineface": "f"}}, "7.5"),
    ],
)
def test_a_configuration_with_two_guidances_is_refused(pipeline, usual) -> None:
    with pytest.raises(ConfigError) as error:
        run({**pipeline, "guidance_scale": 3, "text_guidance_scale": 2})

    assert str(error.value) == f"configuration: pipeline: {TWO_GUIDANCES.format(usual=usual)}"
    said = {**pipeline, "guidance_scale": float(usual), "text_guidance_scale": 2}
    section = run(said).pipeline
    assert isinstance(section, FineFaceSection)
    assert section.guidance() == 2


def test_a_text_guidance_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        run({**MINI, "text_guidance_scale": -1})
    assert str(error.value) == (
        "configuration: pipeline.text_guidance_scale is -1; it must be at least 0"
    )


def test_a_negative_prompt_that_no_text_guidance_reads_is_told() -> None:
    config = run({**MINI, "text_guidance_scale": 1}, negative_prompt="blurry")
    assert doubts(config) == [
        "pipeline.text_guidance_scale is 1, which means no guidance: identities.negative_prompt "
        "has no effect"
    ]
    assert doubts(run({**MINI, "text_guidance_scale": 2}, negative_prompt="blurry")) == []


def test_known_rates_are_of_two_passes_whichever_guidance_takes_them() -> None:
    published = {"name": "fineface", "weights": {"base": "b", "fineface": "f"}, "dtype": "float16"}

    def rate(**keys: object) -> float | None:
        found = FineFaceConfig.model_validate({**published, **keys}).known_rate(Weights(), ["T4"])
        return found and found.value

    assert rate(text_guidance_scale=2) == rate()
    assert rate(text_guidance_scale=1) is None
