import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.fineface import FineFacePipeline
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from pipelines.interfaces import ImageSource
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_vector
from synthgen.errors import WeightsError


def config(sd: Path, fineface: Path, **settings: object) -> FineFaceConfig:
    weights = {"base": str(sd), "fineface": str(fineface), **settings.pop("weights", {})}
    return FineFaceConfig.model_validate(
        {"name": "fineface", "weights": weights, "num_inference_steps": 2, **settings}
    )


def attempt(index: int, prompt: str, aus: Mapping[str, float], seed: int) -> Attempt:
    spec = SampleSpec(
        index=index,
        split="train",
        position=index,
        replacement=0,
        stratum="happy",
        conditions={"aus": au_vector(aus)},
        emotion=None,
        identity_id="identity-0",
        identity={},
        identity_seed=0,
        prompt=prompt,
        negative_prompt="blurry" if index else "",
    )
    return Attempt(spec=spec, number=0, seed=seed)


ATTEMPTS = [
    attempt(0, "a boy", {"AU12": 5}, 11),
    attempt(1, "an old woman", {"AU4": 3}, 2**62),
    attempt(2, "a man", {}, 13),
]


def pixels(images: list) -> list[np.ndarray]:
    return [np.asarray(image) for image in images]


@pytest.fixture(scope="module")
def source(sd_folder: Path, fineface_folder: Path) -> ImageSource:
    return FineFaceSource(config(sd_folder, fineface_folder), "cpu")


def test_source_paints_one_rgb_image_for_each_attempt(source: ImageSource) -> None:
    images = source.generate(ATTEMPTS)

    assert [(image.mode, image.size) for image in images] == [("RGB", (32, 32))] * 3
    assert source.name == "fineface"


def test_image_depends_on_its_attempt_and_the_batch_length_alone(source: ImageSource) -> None:
    first = pixels(source.generate(ATTEMPTS))

    turned = pixels(source.generate(ATTEMPTS[::-1]))
    repeated = pixels(source.generate([ATTEMPTS[0]] * 3))

    assert all(np.array_equal(*pair) for pair in zip(first, turned[::-1], strict=True))
    assert np.array_equal(repeated[2], first[0])


def test_another_seed_is_another_image(source: ImageSource) -> None:
    other = Attempt(spec=ATTEMPTS[0].spec, number=1, seed=12)

    one, two = pixels(source.generate([ATTEMPTS[0], other]))

    assert not np.array_equal(one, two)


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [
        ("dpmpp", "DPMSolverMultistepScheduler"),
        ("ddim", "DDIMScheduler"),
        ("base", "DDIMScheduler"),
    ],
)
def test_sampler_size_and_number_format_follow_the_configuration(
    sd_folder: Path, fineface_folder: Path, scheduler: str, kind: str
) -> None:
    settings = {"scheduler": scheduler, "dtype": "bfloat16", "height": 48}
    source = FineFaceSource(config(sd_folder, fineface_folder, **settings), "cpu")

    (image,) = source.generate(ATTEMPTS[:1])

    assert type(source._pipeline.scheduler).__name__ == kind
    assert image.size == (32, 48)
    assert source._pipeline.unet.dtype == torch.bfloat16


def test_fingerprint_names_what_was_loaded_wherever_it_lies(
    source: ImageSource, sd_folder: Path, fineface_folder: Path, tmp_path: Path
) -> None:
    found = source.fingerprint()

    assert set(found) == {"weights", "licences", "versions"}
    assert set(found["versions"]) == {"torch", "diffusers", "transformers", "peft"}
    lora = fineface_folder / "pytorch_lora_weights.safetensors"
    assert (
        found["weights"]["fineface/pytorch_lora_weights.safetensors"]
        == hashlib.sha256(lora.read_bytes()).hexdigest()
    )
    assert "base/unet/diffusion_pytorch_model.safetensors" in found["weights"]
    shutil.copytree(sd_folder, tmp_path / "sd")
    moved = FineFaceSource(config(tmp_path / "sd", fineface_folder), "cpu")
    assert moved.fingerprint() == found


def test_another_vae_is_used_and_named(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path, source: ImageSource
) -> None:
    vae = FineFacePipeline.from_pretrained(sd_folder).vae
    torch.nn.init.zeros_(vae.decoder.conv_out.weight)
    torch.nn.init.zeros_(vae.decoder.conv_out.bias)
    vae.save_pretrained(tmp_path)

    gray = FineFaceSource(config(sd_folder, fineface_folder, weights={"vae": str(tmp_path)}), "cpu")

    (image,) = gray.generate(ATTEMPTS[:1])
    assert np.ptp(np.asarray(image)) <= 1
    name = "vae/diffusion_pytorch_model.safetensors"
    assert gray.fingerprint()["weights"][name] != source.fingerprint()["weights"][name]


def test_base_that_holds_our_adapter_already_gets_it_once(
    source: ImageSource, pipe: FineFacePipeline, fineface_folder: Path, tmp_path: Path
) -> None:
    pipe.save_pretrained(tmp_path)

    again = FineFaceSource(config(tmp_path, fineface_folder), "cpu")

    for one, two in zip(*(pixels(s.generate(ATTEMPTS)) for s in (source, again)), strict=True):
        assert np.abs(one.astype(int) - two).max() <= 1


def test_base_that_lacks_a_tensor_is_refused(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(sd_folder, tmp_path / "sd")
    file = tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    del tensors["conv_in.bias"]
    save_file(tensors, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError) as error:
        FineFaceSource(config(tmp_path / "sd", fineface_folder), "cpu")

    assert str(error.value) == (
        f"{tmp_path}/sd/unet does not fit its config.json; missing keys: conv_in.bias"
    )


def test_base_with_a_wrong_shape_is_refused(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(sd_folder, tmp_path / "sd")
    file = tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({**load_file(file), "conv_in.bias": torch.zeros(3)}, file, metadata={"format": "pt"})

    with pytest.raises(WeightsError, match=r"sd/unet cannot be loaded: .*conv_in\.bias"):
        FineFaceSource(config(tmp_path / "sd", fineface_folder), "cpu")


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "text_encoder/model"])
def test_base_that_was_cut_off_is_refused(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path, part: str
) -> None:
    shutil.copytree(sd_folder, tmp_path / "sd")
    file = tmp_path / "sd" / f"{part}.safetensors"
    file.write_bytes(file.read_bytes()[:1000])

    with pytest.raises(WeightsError, match=f"{file} is no safetensors file, or was cut off: "):
        FineFaceSource(config(tmp_path / "sd", fineface_folder), "cpu")


def test_base_without_a_file_is_refused(
    sd_folder: Path, fineface_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(sd_folder, tmp_path / "sd")
    (tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors").unlink()

    with pytest.raises(
        WeightsError, match=r"has no file unet/diffusion_pytorch_model\.safetensors;"
    ):
        FineFaceSource(config(tmp_path / "sd", fineface_folder), "cpu")


def test_an_image_with_a_number_that_is_not_finite_is_black_as_a_whole(
    sd_folder: Path, fineface_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = FineFaceSource(config(sd_folder, fineface_folder), "cpu")
    whole = source.generate(ATTEMPTS)
    vae = source._pipeline.vae
    decode = vae.decode

    def spoil(*args, **kwargs):
        (decoded,) = decode(*args, **kwargs)
        decoded[1, 2, 3, 4] = torch.nan
        return (decoded,)

    monkeypatch.setattr(vae, "decode", spoil)
    first, second, third = source.generate(ATTEMPTS)

    assert second.getextrema() == ((0, 0),) * 3
    assert [first.tobytes(), third.tobytes()] == [whole[0].tobytes(), whole[2].tobytes()]


def test_images_are_those_that_diffusers_itself_makes(source: ImageSource) -> None:
    made = source._pipeline(**source._arguments(ATTEMPTS)).images
    painted = source.generate(ATTEMPTS)
    assert [image.tobytes() for image in painted] == [image.tobytes() for image in made]
