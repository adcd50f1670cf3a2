"""The embedded weights, by their name; a tiny checkpoint of their layout stands at their place."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_mini import make_mini
from torch import Tensor

from pipelines.fineface import FineFaceIPAdapterPipeline, FineFacePipeline
from pipelines.fineface.section import FineFaceConfig, FineFaceWeights
from pipelines.fineface.source import FineFaceSource
from pipelines.fineface.weights import locate
from samplers.spec import Attempt
from synthgen.errors import WeightsError
from synthgen.report.pictures import one_sample

SMILE = Attempt(one_sample("a boy", (0.0,) * 6 + (5.0,) + (0.0,) * 5, 3), 0, 3)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_mini(tmp_path_factory.mktemp("mini"))


@pytest.fixture
def mini(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", tiny)
    return tiny


def config(**settings: object) -> FineFaceConfig:
    own = {"num_inference_steps": 2, "guidance_scale": 5.0}  # by default that of the weights
    data = {"name": "fineface", "weights": "mini", **own, **settings}
    return FineFaceConfig.model_validate(data)


def smile(pipe: FineFacePipeline, noise: Tensor) -> Tensor:
    settings = {"num_inference_steps": 2, "guidance_scale": 5.0}
    return latents(pipe, noise, **settings)


def latents(pipe: FineFacePipeline, noise: Tensor, **settings: object) -> Tensor:
    pipe.set_progress_bar_config(disable=True)
    own = {"latents": noise[:1], "output_type": "latent"}
    return pipe("a boy", {"AU12": 5}, **own, **settings).images


def pixels(source: FineFaceSource) -> np.ndarray:
    return np.asarray(source.generate([SMILE])[0])


def test_mini_is_the_embedded_base_with_its_adapter(mini: Path, noise: Tensor) -> None:
    step_by_step = FineFacePipeline.from_pretrained(mini / "base")
    step_by_step.load_au_adapter(mini / "fineface")

    pipe = FineFacePipeline.from_pretrained("mini")

    assert torch.equal(smile(pipe, noise), smile(step_by_step, noise))
    assert pipe.safety_checker is None
    assert pipe.unet.dtype == torch.float32
    assert pipe.au_adapter.config["lora_scale"] == 1.0


@pytest.mark.usefixtures("mini")
@pytest.mark.parametrize("kind", [FineFacePipeline, FineFaceIPAdapterPipeline])
def test_a_call_that_says_nothing_takes_the_steps_and_the_guidance_of_the_weights(
    kind: type[FineFacePipeline], noise: Tensor, tmp_path: Path
) -> None:
    loaded = FineFacePipeline.from_pretrained("mini")
    pipe = kind.from_pipe(loaded)
    usual = latents(pipe, noise)
    said = {"num_inference_steps": 12, "guidance_scale": 1.2}
    assert torch.equal(usual, latents(pipe, noise, **said))
    for other in ({"num_inference_steps": 2}, {"guidance_scale": 7.5}):
        assert not torch.equal(usual, latents(pipe, noise, **other))
        assert torch.equal(latents(pipe, noise, **other), latents(pipe, noise, **(said | other)))

    pipe.save_pretrained(tmp_path)

    assert torch.equal(latents(kind.from_pretrained(tmp_path), noise), usual)


@pytest.mark.usefixtures("mini")
def test_other_steps_and_guidance_can_be_given_to_the_embedded_weights_once() -> None:
    pipe = FineFacePipeline.from_pretrained("mini", num_inference_steps=3, guidance_scale=2.0)

    assert (pipe.config.num_inference_steps, pipe.config.guidance_scale) == (3, 2.0)


def test_other_weights_keep_the_steps_and_the_guidance_of_stable_diffusion(
    base: FineFacePipeline, mini: Path
) -> None:
    for pipe in (base, FineFacePipeline.from_pretrained(mini / "base")):
        assert (pipe.config.num_inference_steps, pipe.config.guidance_scale) == (50, 7.5)
    assert config(guidance_scale=1.2) == FineFaceConfig.model_validate(
        {"name": "fineface", "weights": "mini", "num_inference_steps": 2}
    )


@pytest.mark.usefixtures("mini")
def test_loading_mini_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    FineFacePipeline.from_pretrained("mini")

    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("mini")
def test_other_arguments_go_to_diffusers(base: FineFacePipeline) -> None:
    pipe = FineFacePipeline.from_pretrained("mini", dtype=torch.bfloat16, vae=base.vae)

    assert pipe.unet.dtype == pipe.au_adapter.dtype == torch.bfloat16
    assert pipe.vae is base.vae


def test_the_embedded_base_comes_alone_where_that_is_asked_for(mini: Path, noise: Tensor) -> None:
    pipe = FineFacePipeline.from_pretrained("mini", au_adapter=None)

    assert pipe.au_adapter is None
    pipe.load_au_adapter(mini / "fineface")
    assert torch.equal(smile(pipe, noise), smile(FineFacePipeline.from_pretrained("mini"), noise))


@pytest.mark.usefixtures("mini")
def test_saved_mini_paints_the_same(noise: Tensor, tmp_path: Path) -> None:
    pipe = FineFacePipeline.from_pretrained("mini")
    pipe.save_pretrained(tmp_path)

    again = FineFacePipeline.from_pretrained(tmp_path)

    assert torch.equal(smile(again, noise), smile(pipe, noise))


def test_a_folder_named_mini_is_reached_by_its_path_alone(
    mini: Path, noise: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = FineFacePipeline.from_pretrained(mini / "base")
    own.save_pretrained(tmp_path / "mini")
    monkeypatch.chdir(tmp_path)

    assert FineFacePipeline.from_pretrained("mini").au_adapter is not None
    assert FineFacePipeline.from_pretrained("./mini").au_adapter is None
    assert FineFacePipeline.from_pretrained(Path("mini")).au_adapter is None


def test_a_run_paints_with_mini_as_with_the_same_folders(mini: Path) -> None:
    folders = {"base": str(mini / "base"), "fineface": str(mini / "fineface")}
    named = FineFaceSource(config(), "cpu")

    for weights in (folders, {"base": "mini", "fineface": str(mini / "fineface")}):
        assert np.array_equal(pixels(FineFaceSource(config(weights=weights), "cpu")), pixels(named))


@pytest.mark.usefixtures("mini")
def test_the_fingerprint_names_the_files_and_the_licence() -> None:
    found = FineFaceSource(config(), "cpu").fingerprint()

    assert found["licences"] == {
        "Stable Diffusion mini, trained by synthgen on its own drawn faces": "Apache-2.0",
        "FineFace mini, trained by synthgen on its own drawn faces": "Apache-2.0",
    }
    assert {
        "base/unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "fineface/attn_processors.safetensors",
        "fineface/au_encoder.safetensors",
        "fineface/pytorch_lora_weights.safetensors",
    } <= set(found["weights"])


def test_an_adapter_of_ones_own_on_the_embedded_base_keeps_the_other_licence(mini: Path) -> None:
    found = locate(FineFaceWeights(base="mini", fineface=str(mini / "fineface")))

    assert list(found.licences) == [
        "Stable Diffusion mini, trained by synthgen on its own drawn faces",
        "FineFace",
    ]


def test_what_is_missing_is_named(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", tiny / "gone")

    for load in (FineFacePipeline.from_pretrained, locate):
        with pytest.raises(WeightsError) as error:
            load("mini")
        assert str(error.value) == (
            f"the embedded weights are incomplete: {tiny}/gone/base has no model_index.json, "
            "scheduler/scheduler_config.json, text_encoder/config.json, "
            "text_encoder/model.safetensors, unet/config.json, "
            "unet/diffusion_pytorch_model.safetensors, vae/config.json, "
            "vae/diffusion_pytorch_model.safetensors, tokenizer/tokenizer_config.json; "
            "install synthgen again"
        )


def test_missing_adapter_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_mini(tmp_path)
    (tmp_path / "fineface" / "au_encoder.safetensors").unlink()
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", tmp_path)

    with pytest.raises(WeightsError) as error:
        locate("mini")

    assert str(error.value) == (
        f"the embedded weights are incomplete: {tmp_path}/fineface has no au_encoder.ckpt; "
        "install synthgen again"
    )


@pytest.mark.parametrize("kind", ["DDIMScheduler", "DDPMScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", ["dpmpp", "ddim", "base"])
def test_every_sampler_predicts_what_the_base_predicts(
    kind: str, prediction: str, scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_mini(tmp_path, {"_class_name": kind, "prediction_type": prediction})
    index = tmp_path / "base" / "model_index.json"
    components = json.loads(index.read_text())
    index.write_text(json.dumps({**components, "scheduler": ["diffusers", kind]}))
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", tmp_path)

    source = FineFaceSource(config(scheduler=scheduler), "cpu")

    settings = source._pipeline.scheduler.config
    assert settings["prediction_type"] == prediction
    assert (settings["beta_schedule"], settings["num_train_timesteps"]) == ("scaled_linear", 1000)
    assert np.ptp(pixels(source)) > 0
