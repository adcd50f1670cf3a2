"""The pipeline of baselines: what is told, LoRAs merged by intensity, files that do not fit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import logging
from safetensors.torch import load_file, save_file
from tiny_baselines import RANK, make_baseline
from tiny_fineface import make_fineface, make_sd, tiny_unet

from pipelines.baselines.pipeline import BaselinePipeline
from pipelines.baselines.section import BaselineConfig, BaselineWeights
from pipelines.baselines.weights import locate
from pipelines.loading import check_components
from samplers.plan import build_plan
from samplers.spec import Attempt
from synthgen.action_units import AUS, ActionUnitSet
from synthgen.config.loading import parse_config
from synthgen.errors import ActionUnitError, ConfigError, PromptError, WeightsError

logging.disable_progress_bar()

TRAINED = ("lora-t", "lora-au", "dreambooth")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("world")
    make_sd(folder)
    for method in TRAINED:
        make_baseline(folder / method, method)
    return folder


def pipeline_of(world: Path, method: str, lora_scale: float = 1.0) -> BaselinePipeline:
    pipeline = BaselinePipeline.from_pretrained(world / "sd")
    pipeline.set_progress_bar_config(disable=True)
    if method != "words":
        pipeline.load_trained(world / method, lora_scale)
    return pipeline


def painted(pipeline: StableDiffusionPipeline, prompts: list[str], *asked: object) -> torch.Tensor:
    noise = [torch.randn(4, 16, 16, generator=torch.Generator().manual_seed(5))] * len(prompts)
    settings = {"num_inference_steps": 2, "guidance_scale": 3.0, "output_type": "latent"}
    return pipeline(prompts, *asked, latents=torch.stack(noise), **settings).images


@pytest.mark.parametrize("method", ["words", "lora-t", "dreambooth"])
def test_words_are_the_prompt_of_plain_stable_diffusion(world: Path, method: str) -> None:
    plain = StableDiffusionPipeline.from_pretrained(world / "sd")
    plain.set_progress_bar_config(disable=True)
    if method == "lora-t":
        plain.load_lora_weights(str(world / "lora-t"))
    elif method == "dreambooth":
        plain.unet = UNet2DConditionModel.from_pretrained(world / "dreambooth" / "unet")
    found = painted(pipeline_of(world, method), ["a boy"], {"AU12": 4, "AU1": 2})
    expected = painted(plain, ["a boy, severe lip corner puller, slight inner brow raiser"])
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_loras_of_aus_add_up_by_intensity(world: Path) -> None:
    """W + Σ scale·(intensity / 5)·B·A, added up by hand."""
    merged = StableDiffusionPipeline.from_pretrained(world / "sd")
    merged.set_progress_bar_config(disable=True)
    for name, weight in {"AU12": 0.5 * 5 / 5, "AU1": 0.5 * 2 / 5}.items():
        lora = load_file(world / "lora-au" / f"{name}.safetensors")
        for key in [key for key in lora if "lora_A" in key]:
            layer = merged.unet.get_submodule(key.split(".", 1)[1].removesuffix(".lora_A.weight"))
            layer.weight.data += weight * lora[key.replace("lora_A", "lora_B")] @ lora[key]
    pipeline = pipeline_of(world, "lora-au", 0.5)
    found = painted(pipeline, ["a boy"], {"AU12": 5, "AU1": 2, "AU4": 0})
    torch.testing.assert_close(found, painted(merged, ["a boy"]), atol=1e-4, rtol=1e-4)


def test_an_alpha_that_a_file_tells_counts(world: Path, tmp_path: Path) -> None:
    make_baseline(tmp_path / "half", "lora-au", alpha=RANK / 2)
    half = BaselinePipeline.from_pretrained(world / "sd")
    half.set_progress_bar_config(disable=True)
    half.load_trained(tmp_path / "half")
    found = painted(half, ["a boy"], {"AU9": 5})
    assert torch.equal(found, painted(pipeline_of(world, "lora-au", 0.5), ["a boy"], {"AU9": 5}))


def test_each_of_a_batch_is_what_it_is_alone(world: Path) -> None:
    pipeline = pipeline_of(world, "lora-au")
    asked = [{"AU12": 5.0}, {}, {"AU1": 2.0, "AU4": 3.0}]
    together = painted(pipeline, ["a boy", "a man", "a girl"], asked)
    for place, (prompt, aus) in enumerate(zip(("a boy", "a man", "a girl"), asked, strict=True)):
        assert torch.equal(painted(pipeline, [prompt], aus)[0], together[place])
    for kind in ("np", "pil"):
        images = pipeline(
            ["a boy", "a man"], asked[:2], num_inference_steps=1, output_type=kind,
            negative_prompt="a girl",
        )  # fmt: skip
        assert len(images.images) == 2


def test_calls_that_do_not_fit_end_in_one_sentence(world: Path, tmp_path: Path) -> None:
    words = pipeline_of(world, "words")
    with pytest.raises(ActionUnitError) as caught:
        words(["a boy", "a man"], [{"AU12": 5}])
    assert str(caught.value) == (
        "1 AU vectors for 2 prompts; give one for all prompts, or one for each"
    )
    with pytest.raises(PromptError) as long:
        words("a" * 250, {"AU12": 5})
    assert str(long.value) == (
        "the prompt with its AUs in words has 273 tokens besides begin and end, and 254 are read; "
        "unseen would stay 'imum lip corner puller'; shorten it, or ask for fewer AUs"
    )
    make_baseline(tmp_path / "few", "lora-t", ActionUnitSet(("AU1", "AU12")))
    few = BaselinePipeline.from_pretrained(world / "sd")
    few.load_trained(tmp_path / "few")
    with pytest.raises(ActionUnitError) as other:
        few("a boy", {"AU4": 3})
    assert str(other.value) == (
        "AU4 (brow lowerer) exists in FACS, but the AUs in use are AU1, AU12"
    )
    with pytest.raises(WeightsError) as twice:
        few.load_trained(world / "lora-au")
    assert str(twice.value) == ("the pipeline was given lora-t before; load the base anew first")


def faults(world: Path, folder: Path) -> dict[str, tuple[Path, str]]:
    """Wrong folders of baselines: what is wrong → folder, and what is said of it."""
    made = {name: folder / name for name in (
        "fineface", "nothing", "method", "order", "unknown", "missing", "shape", "nan", "cut",
        "unet",
    )}  # fmt: skip
    make_fineface(made["fineface"])
    made["nothing"].mkdir()
    for name in ("method", "order", "unknown", "missing", "shape", "nan", "cut"):
        shutil.copytree(world / "lora-au", made[name])
    about = made["method"] / "baseline.json"
    about.write_text(json.dumps({"method": "lora", "action_units": ["AU1"]}))
    order = {"method": "lora-au", "action_units": ["AU12", "AU1"]}
    (made["order"] / "baseline.json").write_text(json.dumps(order))
    unknown = {"method": "lora-au", "action_units": ["AU99"]}
    (made["unknown"] / "baseline.json").write_text(json.dumps(unknown))
    (made["missing"] / "AU9.safetensors").unlink()
    first = load_file(made["shape"] / "AU1.safetensors")
    name = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight"
    save_file({**first, name: torch.zeros(RANK, 7)}, made["shape"] / "AU1.safetensors")
    broken = {**first, name: torch.full_like(first[name], torch.nan)}
    save_file(broken, made["nan"] / "AU1.safetensors")
    cut = made["cut"] / "AU1.safetensors"
    cut.write_bytes(cut.read_bytes()[:-9])
    shutil.copytree(world / "dreambooth", made["unet"])
    tiny_unet(1, size=64).save_pretrained(made["unet"] / "unet")
    no_baseline = (
        "{} has no baseline.json, so it holds no baseline; `synthgen train fineface` with method: "
        "lora-t, lora-au or dreambooth writes one"
    )
    said = {
        "fineface": no_baseline,
        "nothing": no_baseline,
        "method": "{}/baseline.json: method is 'lora'; it must be one of lora-t, lora-au, "
        "dreambooth",
        "order": "{}/baseline.json: action_units must be in the order of FACS: AU1, AU12",
        "unknown": "{}/baseline.json: action_units: unknown Action Unit 'AU99'; FACS has AU1, AU2,",
        "missing": "weight file {}/AU9.safetensors does not exist",
        "shape": f"{{}}/AU1.safetensors: {name} has shape [3, 7]; it must have [3, 32]",
        "nan": f"{{}}/AU1.safetensors: {name} holds values that are not finite numbers (96 of 96); "
        "take another file, or download it again",
        "cut": "{}/AU1.safetensors is damaged or was cut off: its tensors take ",
        "unet": "{}/unet was trained beside another base: sample_size is 32 there, and 16 in this "
        "base",
    }
    return {name: (path, said[name].format(path)) for name, path in made.items()}


def test_wrong_files_are_refused_and_change_nothing(world: Path, tmp_path: Path) -> None:
    pipeline = pipeline_of(world, "words")
    before = {name: value.clone() for name, value in pipeline.unet.state_dict().items()}
    for what, (folder, said) in faults(world, tmp_path).items():
        with pytest.raises(WeightsError) as caught:
            pipeline.load_trained(folder)
        assert str(caught.value).startswith(said), what
    after = pipeline.unet.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert pipeline.method == "words"


def run(world: Path, method: str, trained: str | None, **more: object):
    pipeline = {
        "name": "fineface-baseline",
        "method": method,
        "weights": {"base": str(world / "sd"), "trained": trained},
        "num_inference_steps": 2,
        "batch_size": 2,
        **more,
    }
    return parse_config({
        "name": "tiny", "seed": 1, "samples": 2, "output": {"path": "out", "splits": {"test": 1.0}},
        "expressions": {"prior": "combinations", "combinations": [
            {"aus": {"AU12": 5, "AU1": 3}}, {"aus": {}},
        ]},
        "identities": {"source": "prompts", "template": "a {person}", "slots": {"person": ["man"]},
                       "expressions_per_identity": 2},
        "pipeline": pipeline, "verify": {"verifier": "none"},
    })  # fmt: skip


@pytest.mark.parametrize("method", ["words", *TRAINED])
def test_a_run_paints_by_each_method(world: Path, method: str) -> None:
    trained = None if method == "words" else str(world / method)
    config = run(world, method, trained)
    check_components(config)
    weights = config.pipeline.find_weights(False)
    assert weights.bytes > 0
    assert config.pipeline.local_paths() == [
        path for path in (str(world / "sd"), trained) if path is not None
    ]
    source = config.pipeline.load("cpu")
    specs = build_plan(config).specs("test", 0, 2)
    attempts = [Attempt(spec, 0, seed=7 + spec.index) for spec in specs]
    source.check(attempts[0].spec)
    images = source.generate(attempts)
    assert [image.size for image in images] == [(32, 32)] * 2
    assert source.generate(attempts)[0].tobytes() == images[0].tobytes()
    found = source.fingerprint()
    own = sorted(name for name in found["weights"] if name.startswith("trained/"))
    assert own == sorted({
        "words": [],
        "lora-t": ["trained/baseline.json", "trained/pytorch_lora_weights.safetensors"],
        "lora-au": ["trained/baseline.json", *(f"trained/{au}.safetensors" for au in AUS)],
        "dreambooth": [
            "trained/baseline.json", "trained/unet/config.json",
            "trained/unet/diffusion_pytorch_model.safetensors",
        ],
    }[method])  # fmt: skip
    replaced = "base/unet/diffusion_pytorch_model.safetensors" not in found["weights"]
    assert replaced == (method == "dreambooth")


@pytest.mark.parametrize(
    ("method", "trained", "said"),
    [
        (
            "words",
            "x",
            "method is 'words', which needs no training, and weights.trained is 'x'; leave it out, "
            "or set method to how it was trained",
        ),
        (
            "lora-au",
            None,
            "method is 'lora-au', and weights.trained names nothing; set it to what `synthgen "
            "train fineface` with method: lora-au made",
        ),
    ],
)
def test_a_method_and_what_was_trained_go_together(world, method, trained, said) -> None:
    with pytest.raises(ConfigError) as caught:
        run(world, method, trained)
    assert said in str(caught.value)


def test_a_folder_of_another_method_is_refused(world: Path) -> None:
    weights = BaselineWeights(base=str(world / "sd"), trained=str(world / "lora-au"))
    with pytest.raises(WeightsError) as caught:
        locate("lora-t", weights)
    assert str(caught.value) == (
        f"{world}/lora-au was trained by the method 'lora-au', and pipeline.method is 'lora-t'; "
        "set it to 'lora-au', or name another folder as pipeline.weights.trained"
    )


def test_aus_that_it_was_not_told_are_refused_by_the_run(world: Path, tmp_path: Path) -> None:
    make_baseline(tmp_path / "few", "lora-t", ActionUnitSet(("AU1", "AU2")))
    section = BaselineConfig(
        name="fineface-baseline",
        method="lora-t",
        weights=BaselineWeights(base=str(world / "sd"), trained=str(tmp_path / "few")),
    )
    assert section.action_units == {"AU1", "AU2"}
    assert run(world, "words", None).pipeline.action_units is None
