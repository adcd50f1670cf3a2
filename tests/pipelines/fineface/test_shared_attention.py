"""One person per identity: attention shared with the neutral image, and AUs that act later."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.callbacks import SDCFGCutoffCallback
from torch import Tensor

from pipelines.diffusion.section import SharedAttentionKeys
from pipelines.diffusion.shared_attention import (
    KeptIdentities,
    NeutralFeatures,
    keep_features,
    shared_attention,
)
from pipelines.diffusion.unet import self_attentions
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from pipelines.loading import doubts
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_vector
from synthgen.config import RunConfig, parse_config
from synthgen.config.base import Weights
from synthgen.errors import ConfigError, WeightsError

PROMPTS = ["a boy in a park", "an old woman", "a man"]
EXPRESSIONS = [{"AU12": 5}, {"AU4": 3, "AU15": 1}, {"AU1": 5}]
STEPS = {"num_inference_steps": 4, "output_type": "latent"}


def attempt(person: int, expression: int, **noise: Any) -> Attempt:
    spec = SampleSpec(
        index=expression,
        split="train",
        position=expression,
        replacement=0,
        stratum="happy",
        conditions={"aus": au_vector(EXPRESSIONS[expression])},
        emotion=None,
        identity_id=f"identity-{person}",
        identity={},
        identity_seed=person,
        prompt=PROMPTS[person],
        negative_prompt="blurry",
    )
    return Attempt(spec, 0, 100 + expression, **noise)


@pytest.fixture(scope="module")
def source(sd_folder: Path, fineface_folder: Path) -> Callable[..., FineFaceSource]:
    def make(**keys: object) -> FineFaceSource:
        weights = {"base": str(sd_folder), "fineface": str(fineface_folder)}
        section = {"name": "fineface", "weights": weights, "num_inference_steps": 2, **keys}
        return FineFaceSource(FineFaceConfig.model_validate(section), "cpu")

    return make


def pixels(images: list) -> np.ndarray:
    return np.stack([np.asarray(image, int) for image in images])


def features(pipe: Any, noise: Tensor, **keys: object) -> NeutralFeatures:
    return keep_features(
        pipe,
        SharedAttentionKeys.model_validate(keys),
        lambda: pipe(PROMPTS[0], {}, latents=noise[:1], **STEPS),
    )


def test_features_are_what_self_attention_sees_in_the_steps_that_are_shared(pipe, noise) -> None:
    everywhere = features(pipe, noise)
    part = features(pipe, noise, start=0.25, end=0.75, blocks=["mid", "up"])

    assert (everywhere.first, len(everywhere.passes)) == (0, 4)
    assert {*everywhere.passes[0]} == {path for path, _ in self_attentions(pipe.unet)}
    assert (part.first, len(part.passes)) == (1, 2)
    assert {path.split("_")[0] for path in part.passes[0]} == {"mid", "up"}
    assert part.at(0) is None
    assert part.at(3) is None
    path, seen = next(iter(part.passes[1].items()))
    assert torch.equal(seen, everywhere.passes[2][path])
    assert seen.shape[0] == 2  # both halves of guidance


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_attention_is_over_own_and_kept_tokens(pipe, noise: Tensor, scale: float) -> None:
    """Z = Z_own + s·(Attn(Q, [K; K'], [V; V']) − Z_own), by the definition of attention."""
    kept = features(pipe, noise)
    path, layer = self_attentions(pipe.unet)[0]
    own = torch.randn(4, *kept.passes[0][path].shape[1:])
    keys = SharedAttentionKeys(scale=scale)

    def expected(half: int, row: int) -> Tensor:
        x = own[row]
        neutral = kept.passes[0][path][half]

        def attend(context: Tensor) -> Tensor:
            shape = (-1, layer.heads, layer.to_q.out_features // layer.heads)
            query, key, value = (
                projection(given).view(shape).transpose(0, 1)
                for projection, given in (
                    (layer.to_q, x),
                    (layer.to_k, context),
                    (layer.to_v, context),
                )
            )  # [heads, tokens, width of a head]
            weights = (query @ key.transpose(1, 2) * layer.scale).softmax(dim=-1)
            return layer.to_out[0]((weights @ value).transpose(0, 1).flatten(1))

        alone, joined = attend(x), attend(torch.cat([x, neutral]))
        return alone + scale * (joined - alone)

    with torch.no_grad(), shared_attention(pipe.unet, keys, [kept, kept]):
        for hook in pipe.unet._forward_pre_hooks.values():
            hook(pipe.unet, ())
        found = layer(own)
    with torch.no_grad():
        wanted = torch.stack([expected(row // 2, row) for row in range(4)])

    assert torch.allclose(found, wanted, atol=1e-5)


def test_the_neutral_image_itself_is_what_it_is_without(pipe, noise: Tensor) -> None:
    call = {"latents": noise[:1], **STEPS}
    plain = pipe(PROMPTS[0], {}, **call).images
    kept = features(pipe, noise)

    with shared_attention(pipe.unet, SharedAttentionKeys(), [kept]):
        shared = pipe(PROMPTS[0], {}, **call).images

    assert torch.allclose(shared, plain, atol=1e-3)  # each key twice is the same softmax


def test_nothing_is_left_in_the_unet(pipe, noise: Tensor) -> None:
    before = pipe(PROMPTS, EXPRESSIONS, latents=noise, **STEPS).images
    processors = list(pipe.unet.attn_processors.values())
    kept = features(pipe, noise)

    with (
        pytest.raises(KeyError, match="stop"),
        shared_attention(pipe.unet, SharedAttentionKeys(scale=0.5), [kept]),
    ):
        raise KeyError("stop")

    assert list(pipe.unet.attn_processors.values()) == processors
    after = pipe(PROMPTS, EXPRESSIONS, latents=noise, **STEPS).images
    assert torch.equal(after, before)


def test_an_image_does_not_depend_on_its_batch_or_on_what_was_painted_before(source) -> None:
    shared = source(shared_attention={}, guidance_scale=2)
    attempts = [attempt(0, 0), attempt(1, 1), attempt(0, 2)]
    batch = pixels(shared.generate(attempts))

    assert np.array_equal(pixels(shared.generate(attempts)), batch)  # from what is kept
    assert np.array_equal(
        pixels(source(shared_attention={}, guidance_scale=2).generate(attempts)), batch
    )
    others = [attempts[0], attempt(2, 1), attempt(2, 0)]
    assert np.array_equal(pixels(shared.generate(others))[0], batch[0])
    singles = pixels([shared.generate([one])[0] for one in attempts])
    assert np.abs(batch - singles).max() <= 1
    plain = pixels(source(guidance_scale=2).generate(attempts))
    assert not np.array_equal(plain, batch)


def test_the_neutral_attempt_is_a_function_of_the_identity_alone() -> None:
    shared = {"shared_seed": 7, "own_share": 0.1}
    one, other = attempt(0, 0, **shared).neutral, attempt(0, 1, **shared).neutral

    assert one.spec.aus == other.spec.aus == (0.0,) * 12
    assert one.noise_seed == other.noise_seed == 7
    assert attempt(0, 0).neutral.noise_seed == attempt(0, 2).neutral.noise_seed == 0
    assert attempt(1, 0).neutral.noise_seed == 1


def test_what_is_kept_of_identities_has_a_bound() -> None:
    made: list[int] = []

    def make(place: int) -> NeutralFeatures:
        made.append(place)
        return NeutralFeatures(0, ({"layer": torch.zeros(1, 10, 1)},))  # 40 bytes

    kept = KeptIdentities(limit=100)
    found = kept.of(["a", "b", "a"], make)
    assert made == [0, 1]
    assert found[0] is found[2]
    kept.of(["c", "b"], make)  # a goes
    assert made == [0, 1, 0]
    kept.of(["a"], make)
    assert made == [0, 1, 0, 0]
    assert len(kept.of(list("defg"), make)) == 4  # more than the bound


def test_fused_projections_are_refused(pipe, noise: Tensor) -> None:
    kept = features(pipe, noise)
    pipe.unet.fuse_qkv_projections()
    with (
        pytest.raises(WeightsError) as error,
        shared_attention(pipe.unet, SharedAttentionKeys(), [kept]),
    ):
        pass
    assert str(error.value) == (
        "the UNet's attention projections are fused; call unet.unfuse_qkv_projections() before a "
        "call with shared attention"
    )


def test_aus_that_start_later_leave_the_first_steps_as_they_are_without(pipe, noise) -> None:
    def steps(aus: object, **settings: object) -> list[Tensor]:
        seen: list[Tensor] = []

        def keep(_: object, __: int, ___: object, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            seen.append(tensors["latents"])
            return {}

        pipe(PROMPTS, aus, latents=noise, callback_on_step_end=keep, **STEPS, **settings)
        return seen

    neutral, usual, late = steps({}), steps(EXPRESSIONS), steps(EXPRESSIONS, au_start=0.5)

    assert all(torch.equal(late[step], neutral[step]) for step in (0, 1))
    assert not torch.allclose(late[2], neutral[2], atol=1e-4)
    assert not torch.allclose(late[3], usual[3], atol=1e-4)
    at_once = steps(EXPRESSIONS, au_start=0.1)  # less than half a step
    assert torch.equal(at_once[3], usual[3])


def test_late_aus_and_a_callback_that_ends_guidance_go_together(pipe, noise: Tensor) -> None:
    cutoff = SDCFGCutoffCallback(cutoff_step_ratio=0.5)
    call = {"prompt": PROMPTS[0], "aus": EXPRESSIONS[0], "latents": noise[:1], **STEPS}
    found = pipe(**call, au_start=0.5, callback_on_step_end=cutoff).images

    assert torch.isfinite(found).all()
    assert not torch.equal(found, pipe(**call, au_start=0.5).images)
    assert not torch.equal(found, pipe(**call, callback_on_step_end=cutoff).images)


@pytest.mark.parametrize("start", [-0.1, 1.0])
def test_a_call_with_an_impossible_start_is_refused(pipe, start: float) -> None:
    with pytest.raises(ValueError, match="au_start") as error:
        pipe(PROMPTS[0], {"AU12": 5}, au_start=start)
    assert str(error.value) == f"au_start is {start:g}; it must be at least 0 and below 1"


def test_a_run_paints_with_the_start_of_its_configuration(source) -> None:
    attempts = [attempt(0, place, shared_seed=7, own_share=0.0) for place in range(2)]
    late, plain = source(au_start=0.5), source()
    asked = {**plain._arguments(attempts), "au_start": 0.5}

    assert np.array_equal(pixels(late.generate(attempts)), pixels(plain._pipeline(**asked).images))


MINI = {"name": "fineface", "weights": "mini"}
RUN = {
    "name": "shared",
    "seed": 1,
    "samples": 4,
    "output": {"path": "out"},
    "expressions": {"prior": "emotions", "categories": ["happy"]},
    "identities": {"source": "prompts", "template": "a face", "expressions_per_identity": 2},
    "verify": {"aligner": "centered"},
}


def test_a_configuration_without_them_stays_the_same_data() -> None:
    section = FineFaceConfig.model_validate(MINI)
    shared = FineFaceConfig.model_validate({**MINI, "shared_attention": {}, "au_start": 0.4})

    assert not {"shared_attention", "au_start"} & section.model_dump(mode="json").keys()
    assert shared.identity() == {
        **section.identity(),
        "au_start": 0.4,
        "shared_attention": {
            "scale": 1.0,
            "start": 0.0,
            "end": 1.0,
            "blocks": ["down", "mid", "up"],
        },
    }


def test_aus_that_start_later_without_a_common_noise_are_told() -> None:
    def run(noise: str) -> RunConfig:
        people = {**RUN["identities"], "noise": noise}
        return parse_config({**RUN, "identities": people, "pipeline": {**MINI, "au_start": 0.5}})

    assert doubts(run("sample")) == [
        "pipeline.au_start is 0.5 and identities.noise is 'sample': AUs act later, and the images "
        "of an identity have nothing more in common"
    ]
    assert doubts(run("identity")) == []


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (
            {"shared_attention": {"scale": 0}},
            "pipeline.shared_attention.scale is 0; it must be above 0",
        ),
        (
            {"shared_attention": {"start": 0.5, "end": 0.5}},
            "pipeline.shared_attention: start is 0.5; it must be below end, 0.5",
        ),
        (
            {"shared_attention": {"blocks": ["up", "up"]}},
            "pipeline.shared_attention: blocks names a part twice: up, up",
        ),
        (
            {"shared_attention": {"start": 0.6, "end": 0.61}},
            "pipeline: shared_attention.start is 0.6 and end 0.61, between which there is none of "
            "the 25 steps; it must be at least one",
        ),
        (
            {"shared_attention": {}, "compile": True},
            "pipeline: compile has no effect beside shared_attention, which is computed as it is "
            "written; leave one of them out",
        ),
        ({"au_start": 1}, "pipeline.au_start is 1; it must be below 1"),
    ],
)
def test_what_cannot_be_is_refused(keys: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config({**RUN, "pipeline": {**MINI, **keys}})
    assert str(error.value) == f"configuration: {text}"


def test_what_is_kept_of_an_identity_is_known_before_a_run(source) -> None:
    keys = {"shared_attention": {"start": 0.5, "blocks": ["up", "mid"]}, "guidance_scale": 2}
    shared = source(**keys)
    shared.generate([attempt(0, 0)])
    kept = next(iter(shared._identities._kept.values()))
    section = shared._config
    weights = section.find_weights(False)

    assert section.shared_bytes(weights) == kept.bytes > 0
    plain = section.model_copy(update={"shared_attention": None})
    more = section.working_memory(weights) - plain.working_memory(weights)
    assert more == kept.bytes
    half = replace(weights, facts={})
    assert section.shared_bytes(half) == 0


def test_known_rates_are_bounds_with_shared_attention() -> None:
    plain, shared = (
        FineFaceConfig.model_validate({**MINI, **keys}).known_rate(Weights(), [])
        for keys in ({}, {"shared_attention": {}})
    )
    assert plain is not None
    assert shared is not None
    assert (shared.value, shared.bound) == (plain.value, True)
    assert shared.source == plain.source + ", without shared attention"
