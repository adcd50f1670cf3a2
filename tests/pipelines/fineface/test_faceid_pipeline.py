"""People in the pipeline: each sample keeps its own, and what a call changes is undone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_faceid import EMBEDDER, make_face_adapter, people
from tiny_fineface import TEXT_WIDTH, make_fineface
from tiny_mini import make_mini
from torch import Tensor

import pipelines
from pipelines.fineface import FineFaceIPAdapterPipeline, FineFacePipeline
from synthgen.errors import FaceEmbeddingError, WeightsError

PROMPTS = ["a boy", "an old woman", "a man"]
EXPRESSIONS = [{"AU12": 5.0}, {"AU4": 3.0}, {"AU1": 2.0}]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faceid")
    make_fineface(folder, weight_prefix="sd15_", lora=False)
    make_face_adapter(folder)
    return folder


@pytest.fixture
def bare(sd_folder: Path, files: Path) -> FineFaceIPAdapterPipeline:
    """The tiny base with the AU adapter alone."""
    pipeline = FineFaceIPAdapterPipeline.from_pretrained(sd_folder)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_au_adapter(files, weight_prefix="sd15_")
    return pipeline


@pytest.fixture
def people_pipe(bare: FineFaceIPAdapterPipeline, files: Path) -> FineFaceIPAdapterPipeline:
    load_faces(bare, files)
    return bare


def load_faces(pipe: FineFacePipeline, files: Path) -> None:
    pipe.load_ip_adapter(
        str(files), subfolder="", weight_name="faceid.bin", image_encoder_folder=None
    )


def paint(
    pipe: FineFacePipeline, noise: Tensor, *faces: Any, which: slice = slice(3), **settings: Any
) -> Tensor:
    settings = {"num_inference_steps": 2, "output_type": "latent", **settings}
    return pipe(PROMPTS[which], EXPRESSIONS[which], *faces, latents=noise[which], **settings).images


def assert_same(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_the_package_exports_it() -> None:
    assert pipelines.FineFaceIPAdapterPipeline is FineFaceIPAdapterPipeline


def test_a_batch_is_its_samples_one_at_a_time(
    people_pipe: FineFaceIPAdapterPipeline, noise: Tensor
) -> None:
    shown = people(3, 2)

    batch = paint(people_pipe, noise, shown)

    for i in range(3):
        which = slice(i, i + 1)
        assert_same(batch[which], paint(people_pipe, noise, shown[which], which=which))
    others = paint(people_pipe, noise, shown[::-1].copy())
    assert (others - batch).abs().amax((1, 2, 3))[[0, 2]].min() > 0.01


def test_one_person_serves_all_prompts_and_one_face_needs_no_axis(
    people_pipe: FineFaceIPAdapterPipeline, noise: Tensor
) -> None:
    shown = people(1)

    expected = paint(people_pipe, noise, shown[None].repeat(3, 0))

    assert_same(paint(people_pipe, noise, shown), expected)
    assert_same(paint(people_pipe, noise, torch.from_numpy(shown)[None]), expected)
    assert_same(paint(people_pipe, noise, shown.astype(np.float64).tolist()), expected)


def test_several_images_of_a_prompt_show_its_person(
    people_pipe: FineFaceIPAdapterPipeline, noise: Tensor
) -> None:
    shown, twice = people(2), torch.cat([noise[:2], noise[:2]])[[0, 2, 1, 3]]
    settings = {"num_inference_steps": 2, "output_type": "latent"}

    found = people_pipe(
        PROMPTS[:2], EXPRESSIONS[:2], shown, latents=twice, num_images_per_prompt=2, **settings
    ).images

    single = paint(people_pipe, noise, shown, which=slice(2))
    assert_same(found, single.repeat_interleave(2, 0))


def test_without_people_or_their_weight_it_is_the_text_pipeline(
    sd_folder: Path, people_pipe: FineFaceIPAdapterPipeline, files: Path, noise: Tensor
) -> None:
    text = FineFacePipeline.from_pretrained(sd_folder)
    text.set_progress_bar_config(disable=True)
    text.load_au_adapter(files, weight_prefix="sd15_")
    expected = paint(text, noise)

    assert torch.equal(paint(people_pipe, noise, people(3), ip_scale=0), expected)
    assert torch.equal(paint(people_pipe, noise), expected)
    unguided = {"guidance_scale": 1.0}
    assert torch.equal(
        paint(people_pipe, noise, people(3), ip_scale=0, **unguided), paint(text, noise, **unguided)
    )


def test_people_without_aus_and_unloading(
    people_pipe: FineFaceIPAdapterPipeline, noise: Tensor
) -> None:
    plain = {"latents": noise[:1], "num_inference_steps": 2, "output_type": "latent"}
    with_au = people_pipe("a boy", {"AU12": 5}, people(1), au_scale=0, **plain).images

    assert_same(people_pipe("a boy", None, people(1), **plain).images, with_au)

    people_pipe.unload_ip_adapter()
    with pytest.raises(WeightsError, match="has no IP-Adapter for faces"):
        people_pipe("a boy", None, people(1), **plain)


def test_order_of_loading_makes_no_difference(
    sd_folder: Path, people_pipe: FineFaceIPAdapterPipeline, files: Path, noise: Tensor
) -> None:
    other = FineFaceIPAdapterPipeline.from_pretrained(sd_folder)
    other.set_progress_bar_config(disable=True)
    load_faces(other, files)
    other.load_au_adapter(files, weight_prefix="sd15_")

    images = [paint(pipe, noise, people(3)) for pipe in (people_pipe, other)]

    assert torch.equal(*images)


def test_scales_multiply_and_are_as_before_after_a_call(
    people_pipe: FineFaceIPAdapterPipeline, noise: Tensor
) -> None:
    expected = paint(people_pipe, noise, people(3), ip_scale=0.35)
    people_pipe.set_ip_adapter_scale(0.7)

    found = paint(people_pipe, noise, people(3), ip_scale=0.5)

    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="divisible by 8"):
        paint(people_pipe, noise, people(3), ip_scale=0.1, height=33, width=32)
    scales = [p.scale for n, p in people_pipe.unet.attn_processors.items() if "attn2" in n]
    assert all(scale == [0.7] for scale in scales)


@pytest.mark.parametrize(
    ("faces", "sentence"),
    [
        (
            people(3)[:, :500],
            "faceid_embeds have the shape [3, 500]; it must be [batch, faces, 512] or [batch, 512]",
        ),
        (
            people(3)[0],
            "faceid_embeds have the shape [512]; it must be [batch, faces, 512] or [batch, 512]",
        ),
        (
            people(2, 2),
            "faceid_embeds of 2 people for 3 prompts; give one for all prompts, or one for each",
        ),
        (
            np.full((3, 512), np.nan),
            "faceid_embeds hold NaN or infinity; they must be finite numbers",
        ),
        (
            "someone",
            "faceid_embeds must be numbers [batch, faces, 512] or [batch, 512]; got str",
        ),
        (
            [people(1), people(2)],
            "faceid_embeds must be numbers [batch, faces, 512] or [batch, 512]; got list",
        ),
    ],
)
def test_embeddings_that_do_not_fit_are_refused(
    people_pipe: FineFaceIPAdapterPipeline, noise: Tensor, faces: object, sentence: str
) -> None:
    with pytest.raises(FaceEmbeddingError) as error:
        paint(people_pipe, noise, faces)
    assert str(error.value) == sentence


def test_people_need_an_ip_adapter(bare: FineFaceIPAdapterPipeline, noise: Tensor) -> None:
    with pytest.raises(WeightsError) as error:
        paint(bare, noise, people(3))
    assert str(error.value) == (
        "the pipeline has no IP-Adapter for faces; load one by load_ip_adapter first"
    )


def test_an_ip_adapter_of_another_kind_is_refused(
    bare: FineFaceIPAdapterPipeline, files: Path, noise: Tensor
) -> None:
    image = {
        "proj.weight": torch.zeros(4 * TEXT_WIDTH, 10),
        "proj.bias": torch.zeros(4 * TEXT_WIDTH),
        "norm.weight": torch.ones(TEXT_WIDTH),
        "norm.bias": torch.zeros(TEXT_WIDTH),
    }
    attention = torch.load(files / "faceid.bin", weights_only=True)["ip_adapter"]
    bare.load_ip_adapter(
        {"image_proj": image, "ip_adapter": attention},
        subfolder="", weight_name="", image_encoder_folder=None,
    )  # fmt: skip

    with pytest.raises(WeightsError) as error:
        paint(bare, noise, people(3))
    assert str(error.value) == (
        "the UNet has IP-Adapters of the kinds ImageProjection; this pipeline takes one of the "
        "FaceID kind, such as ip-adapter-faceid-portrait-v11_sd15.bin"
    )


def test_saving_refuses_to_lose_the_ip_adapter(
    people_pipe: FineFaceIPAdapterPipeline, files: Path, noise: Tensor, tmp_path: Path
) -> None:
    expected = paint(people_pipe, noise, people(3))
    with pytest.raises(WeightsError) as error:
        people_pipe.save_pretrained(tmp_path / "sd")
    assert str(error.value) == (
        "an IP-Adapter cannot be saved with a pipeline; call unload_ip_adapter before "
        "save_pretrained, and load_ip_adapter after from_pretrained"
    )
    assert not (tmp_path / "sd").exists()

    people_pipe.unload_ip_adapter()
    people_pipe.save_pretrained(tmp_path / "sd")
    again = FineFaceIPAdapterPipeline.from_pretrained(tmp_path / "sd")
    load_faces(again, files)
    assert torch.equal(paint(again, noise, people(3)), expected)


def test_mini_is_the_embedded_base_with_both_adapters(
    noise: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    mini = make_mini(tmp_path)
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    with pytest.raises(WeightsError) as error:
        FineFaceIPAdapterPipeline.from_pretrained("mini")
    assert str(error.value) == (
        f"the embedded weights are incomplete: {mini}/faceid has no ip_adapter.safetensors; "
        "install synthgen again"
    )
    file = make_face_adapter(mini / "faceid", "ip_adapter.safetensors", EMBEDDER)
    capfd.readouterr()

    pipe = FineFaceIPAdapterPipeline.from_pretrained("mini")

    assert capfd.readouterr() == ("", "")
    pipe.set_progress_bar_config(disable=True)
    assert not torch.equal(paint(pipe, noise, people(3)), paint(pipe, noise))
    weight = load_file(file)["ip_adapter.1.to_k_ip.weight"]
    processor = next(p for n, p in pipe.unet.attn_processors.items() if "attn2" in n)
    assert torch.equal(processor.to_k_ip[0].weight, weight)
