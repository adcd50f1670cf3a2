"""Prompts longer than the text encoder reads are refused, or read in pieces."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_fineface import make_sd

from pipelines.diffusion.prompts import (
    check_run_prompts,
    load_tokenizer,
    longest_prompt,
    token_counts,
)
from pipelines.fineface import FineFacePipeline
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from pipelines.fineface.weights import MINI_FOLDER
from pipelines.loading import check_components
from samplers.identities.prompts import PromptIdentitiesConfig
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_vector
from synthgen.config import RunConfig
from synthgen.errors import PromptError

MINI = load_tokenizer(MINI_FOLDER / "base" / "tokenizer")
SHORT, LONG = "a man", "a man, old, seen in the park at noon"  # 4 and 28 letters; 18 are read


@pytest.fixture(scope="module")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base that reads 20 letters, begin and end among them."""
    return make_sd(tmp_path_factory.mktemp("short"), places=20)


@pytest.fixture
def pipe(sd_folder: Path, fineface_folder: Path) -> FineFacePipeline:
    pipeline = FineFacePipeline.from_pretrained(sd_folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_au_adapter(fineface_folder)
    return pipeline


def identities(**keys: object) -> PromptIdentitiesConfig:
    return PromptIdentitiesConfig.model_validate({"source": "prompts", **keys})


def refusal(section: PromptIdentitiesConfig, long_prompts: str = "refuse") -> str:
    with pytest.raises(PromptError) as caught:
        check_run_prompts(MINI, section, long_prompts)
    return str(caught.value)


def test_a_template_whose_longest_prompt_is_cut_is_refused() -> None:
    section = identities(
        template="a photo " + "of a face " * 19 + "{age} {person}",
        slots={"age": ["old", "middle-aged"], "person": ["man", "woman"]},
    )
    assert refusal(section) == (
        "identities.template: with age 'middle-aged', person 'man' the prompt has 63 tokens "
        "besides begin and end, and 62 are read; unseen would stay 'man'; shorten it, or set "
        "pipeline.long_prompts: chunk"
    )
    assert check_run_prompts(MINI, section, "chunk") == 2
    fits = identities(template=section.template, slots={**section.slots, "age": ["old", "young"]})
    assert check_run_prompts(MINI, fits, "refuse") == 1


def test_a_negative_prompt_that_is_cut_is_refused() -> None:
    section = identities(template="a face", negative_prompt="old man, " * 21)
    assert refusal(section) == (
        "identities.negative_prompt has 63 tokens besides begin and end, and 62 are read; unseen "
        "would stay ','; shorten it, or set pipeline.long_prompts: chunk"
    )


def test_more_than_four_pieces_are_refused() -> None:
    assert refusal(identities(template="man " * 249), "chunk") == (
        "identities.template: the prompt has 249 tokens besides begin and end, and 248 are read; "
        "unseen would stay 'man'; shorten it"
    )


def test_the_longest_of_millions_of_prompts_is_found_at_once() -> None:
    slots = {f"s{place}": [f"{word} face" for word in "abcdefghijklm"] for place in range(12)}
    slots["s7"] = [*slots["s7"], "a rather long value, of a few more words"]
    template = ", ".join(f"{{{name}}}" for name in slots)
    assert longest_prompt(MINI, template, slots).values["s7"] == slots["s7"][-1]


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.sampled_from(["a ", "old", "-", ", ", "{a}", "{b}", "{c}", "{{", "man ", "  "]),
        min_size=1,
        max_size=9,
    ),
    values=st.lists(
        st.lists(
            st.sampled_from(["", "young", "er", "very old", "1-2", ", x", "blond }", "wo", "man"]),
            min_size=1,
            max_size=3,
            unique=True,
        ),
        min_size=3,
        max_size=3,
    ),
)
def test_the_longest_prompt_is_that_of_all_tuples(pieces: list[str], values) -> None:
    template = "".join(pieces)
    slots = {n: v for n, v in zip("abc", values, strict=True) if f"{{{n}}}" in template}
    found = longest_prompt(MINI, template, slots)
    every = [
        " ".join(template.format(**dict(zip(slots, row, strict=True))).split())
        for row in itertools.product(*slots.values())
    ]
    assert found.prompt in every
    assert token_counts(MINI, [found.prompt])[0] == max(token_counts(MINI, every))


def test_a_call_with_a_prompt_that_is_cut_is_refused(pipe: FineFacePipeline) -> None:
    unseen = pipe.tokenizer.decode(pipe.tokenizer(LONG)["input_ids"][19:-1]).strip()
    for what, keys in [
        ("prompt", {"prompt": [SHORT, LONG]}),
        ("negative prompt", {"prompt": SHORT, "negative_prompt": LONG}),
    ]:
        with pytest.raises(PromptError) as caught:
            pipe(**keys)
        assert str(caught.value) == (
            f"the {what} has 28 tokens besides begin and end, and 18 are read; unseen would stay "
            f"{unseen!r}; shorten it, or encode it by encode_long_prompts and give prompt_embeds "
            "and negative_prompt_embeds"
        )


def test_pieces_are_what_the_text_encoder_makes_of_each(pipe: FineFacePipeline) -> None:
    found, negative = pipe.encode_long_prompts([LONG, SHORT], "bad")
    tokens = pipe.tokenizer(LONG, add_special_tokens=False)["input_ids"]
    texts = ["".join(pipe.tokenizer.convert_ids_to_tokens(t)) for t in (tokens[:18], tokens[18:])]
    halves = [pipe.encode_prompt(t.replace("</w>", " "), "cpu", 1, False)[0][0] for t in texts]
    alone = pipe.encode_prompt([SHORT], "cpu", 1, True, ["bad"])
    torch.testing.assert_close(found[0], torch.cat(halves))
    torch.testing.assert_close(found[1], torch.cat([alone[0][0]] * 2))
    torch.testing.assert_close(negative, torch.cat([alone[1]] * 2, dim=1).expand(2, -1, -1))


def test_short_prompts_are_encoded_as_they_always_were(pipe: FineFacePipeline) -> None:
    found = pipe.encode_long_prompts([SHORT, "a boy"], ["bad", ""])
    plain = pipe.encode_prompt([SHORT, "a boy"], "cpu", 1, True, ["bad", ""])
    for one, other in zip(found, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_beside_a_long_prompt_a_short_one_paints_what_it_paints_alone(
    pipe: FineFacePipeline, noise: torch.Tensor
) -> None:
    def latents(prompts: list[str], start: torch.Tensor) -> torch.Tensor:
        embeds, negative = pipe.encode_long_prompts(prompts, "bad")
        return pipe(
            aus={"AU12": 4},
            prompt_embeds=embeds,
            negative_prompt_embeds=negative,
            latents=start,
            num_inference_steps=3,
            guidance_scale=3.0,
            output_type="latent",
        ).images

    prompts = [SHORT, LONG, LONG + ", a third piece"]
    together = latents(prompts, noise)
    alone = torch.cat([latents([p], noise[i : i + 1]) for i, p in enumerate(prompts)])
    torch.testing.assert_close(together, alone, atol=2e-4, rtol=1e-4)
    plain = pipe(
        SHORT,
        {"AU12": 4},
        negative_prompt="bad",
        latents=noise[:1],
        num_inference_steps=3,
        guidance_scale=3.0,
        output_type="latent",
    ).images
    torch.testing.assert_close(together[:1], plain, atol=2e-4, rtol=1e-4)


def run(sd: Path, fineface: Path, template: str, **pipeline: object) -> RunConfig:
    return RunConfig.model_validate(
        {
            "name": "long",
            "seed": 1,
            "samples": 2,
            "output": {"path": "none"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": {
                "source": "prompts",
                "template": template,
                "expressions_per_identity": 2,
            },
            "pipeline": {
                "name": "fineface",
                "weights": {"base": str(sd), "fineface": str(fineface)},
                "num_inference_steps": 2,
                **pipeline,
            },
        }
    )


def attempt(prompt: str, seed: int) -> Attempt:
    spec = SampleSpec(
        index=0,
        split="train",
        position=0,
        replacement=0,
        stratum="",
        conditions={"aus": au_vector({"AU12": 3})},
        emotion=None,
        identity_id="",
        identity={},
        identity_seed=0,
        prompt=prompt,
        negative_prompt="",
    )
    return Attempt(spec, 0, seed)


def test_a_run_is_refused_before_anything_is_loaded(sd_folder: Path, fineface_folder: Path) -> None:
    with pytest.raises(PromptError, match=r"^identities\.template: the prompt has 28 tokens"):
        check_components(run(sd_folder, fineface_folder, LONG))
    check_components(run(sd_folder, fineface_folder, LONG, long_prompts="chunk"))


def test_a_source_paints_long_prompts_the_same_whatever_stands_beside(
    sd_folder: Path, fineface_folder: Path
) -> None:
    config = run(sd_folder, fineface_folder, LONG, long_prompts="chunk")
    assert isinstance(config.pipeline, FineFaceConfig)
    source = FineFaceSource(config.pipeline, "cpu")
    source.prepare(config)
    one = source.generate([attempt(SHORT, 1), attempt(LONG, 2)])
    two = source.generate([attempt(SHORT, 1), attempt(SHORT, 3)])
    assert one[0].tobytes() == two[0].tobytes()
    assert one[1].tobytes() != source.generate([attempt(LONG[:-4], 2)] * 2)[1].tobytes()


def test_the_key_stays_out_of_stored_configurations() -> None:
    plain = FineFaceConfig.model_validate({"name": "fineface", "weights": "mini"})
    assert "long_prompts" not in plain.model_dump()
    chunked = plain.model_copy(update={"long_prompts": "chunk"})
    assert chunked.model_dump()["long_prompts"] == "chunk"
