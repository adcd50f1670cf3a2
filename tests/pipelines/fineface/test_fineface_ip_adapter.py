"""IP-Adapter, which makes the attention processors anew, beside the AU adapter."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_fineface import TEXT_WIDTH
from torch import Tensor

from pipelines.fineface import FineFacePipeline

IMAGE_WIDTH = 10
PROMPTS = ["a boy", "an old woman", "a man"]
EXPRESSIONS = [{"AU12": 5.0}, {"AU4": 3.0}, {"AU1": 2.0}]


@pytest.fixture(scope="module")
def ip_adapter(tmp_path_factory: pytest.TempPathFactory, sd_folder: Path) -> Path:
    """An IP-Adapter file of the published layout for the tiny base."""
    folder = tmp_path_factory.mktemp("ip")
    draw = torch.Generator().manual_seed(9)
    state = {
        "image_proj.proj.weight": torch.randn(4 * TEXT_WIDTH, IMAGE_WIDTH, generator=draw) * 0.3,
        "image_proj.proj.bias": torch.zeros(4 * TEXT_WIDTH),
        "image_proj.norm.weight": torch.ones(TEXT_WIDTH),
        "image_proj.norm.bias": torch.zeros(TEXT_WIDTH),
    }
    unet = FineFacePipeline.from_pretrained(sd_folder).unet
    cross = [name for name in unet.attn_processors if "attn2" in name]
    for number, name in enumerate(cross):
        width = unet.get_submodule(name.removesuffix(".processor")).inner_dim
        for kind in ("k", "v"):
            weight = torch.randn(width, TEXT_WIDTH, generator=draw) * 0.5
            state[f"ip_adapter.{2 * number + 1}.to_{kind}_ip.weight"] = weight
    save_file(state, folder / "ip.safetensors")
    return folder


def load_ip_adapter(pipe: FineFacePipeline, folder: Path) -> None:
    pipe.load_ip_adapter(
        str(folder), subfolder="", weight_name="ip.safetensors", image_encoder_folder=None
    )


def faces(count: int) -> Tensor:
    return torch.randn(count, 1, IMAGE_WIDTH, generator=torch.Generator().manual_seed(3))


def paint(pipe: FineFacePipeline, which: slice, noise: Tensor, embeds: Tensor) -> Tensor:
    return pipe(
        PROMPTS[which],
        EXPRESSIONS[which],
        latents=noise[which],
        ip_adapter_image_embeds=[torch.cat([torch.zeros_like(embeds), embeds])],
        num_inference_steps=3,
        output_type="latent",
    ).images


def test_order_of_loading_makes_no_difference(
    sd_folder: Path, fineface_folder: Path, ip_adapter: Path, noise: Tensor
) -> None:
    before, after = (FineFacePipeline.from_pretrained(sd_folder) for _ in range(2))
    load_ip_adapter(before, ip_adapter)
    before.load_au_adapter(fineface_folder)
    after.load_au_adapter(fineface_folder)
    load_ip_adapter(after, ip_adapter)

    images = [paint(pipe, slice(0, 3), noise, faces(3)) for pipe in (before, after)]

    assert torch.equal(*images)
    assert not torch.equal(images[0], paint(before, slice(0, 3), noise, -faces(3)))


def test_each_sample_keeps_its_own_face(
    pipe: FineFacePipeline, ip_adapter: Path, noise: Tensor
) -> None:
    load_ip_adapter(pipe, ip_adapter)

    batch = paint(pipe, slice(0, 3), noise, faces(3))

    for i in range(3):
        single = paint(pipe, slice(i, i + 1), noise, faces(3)[i : i + 1])
        torch.testing.assert_close(batch[i : i + 1], single, rtol=0, atol=1e-4)


def test_one_face_serves_all_samples(
    pipe: FineFacePipeline, ip_adapter: Path, noise: Tensor
) -> None:
    load_ip_adapter(pipe, ip_adapter)

    found = paint(pipe, slice(0, 3), noise, faces(1))

    expected = paint(pipe, slice(0, 3), noise, faces(1).repeat(3, 1, 1))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_faces_that_do_not_go_into_the_samples_are_refused(
    pipe: FineFacePipeline, ip_adapter: Path, noise: Tensor
) -> None:
    load_ip_adapter(pipe, ip_adapter)

    with pytest.raises(ValueError, match="rows of image embeddings") as error:
        paint(pipe, slice(0, 3), noise, faces(2))
    assert str(error.value) == (
        "4 rows of image embeddings for 3 samples; give one row for all or one for each, and with "
        "guidance as many negative ones before them"
    )
