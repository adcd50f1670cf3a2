"""Folders of others that load in part, or load and would paint noise, are refused in a sentence."""

import functools
import json
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_faceid import face_adapter_state
from tiny_fineface import tiny_unet

from pipelines.diffusion.source import DiffusionSource
from pipelines.fineface import FineFaceIPAdapterPipeline, FineFacePipeline
from pipelines.fineface.checkpoint import read_au_adapter
from pipelines.fineface.face_adapter import read_face_adapter
from pipelines.fineface.section import FineFaceConfig
from pipelines.fineface.source import FineFaceSource
from synthgen.errors import ConfigError, WeightsError


@pytest.fixture
def folder(sd_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sd_folder, tmp_path / "sd"))


def config(base: Path, fineface: Path, **more: object) -> FineFaceConfig:
    weights = {"base": str(base), "fineface": str(fineface), **more.pop("weights", {})}  # pyright: ignore
    return FineFaceConfig.model_validate(
        {"name": "fineface", "weights": weights, "num_inference_steps": 2, **more}
    )


def refusal(base: Path, fineface: Path, **more: object) -> str:
    with pytest.raises(WeightsError) as caught:
        FineFaceSource(config(base, fineface, **more), "cpu")
    return str(caught.value)


def change(path: Path, edit: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def with_tensor(file: Path, name: str, make: Callable[[torch.Tensor], torch.Tensor]) -> int:
    tensors = load_file(file)
    tensors[name] = make(tensors[name])
    save_file(tensors, file, metadata={"format": "pt"})
    return tensors[name].numel()


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("vae/diffusion_pytorch_model", "decoder.conv_in.bias"),
        ("unet/diffusion_pytorch_model", "conv_in.bias"),
        ("text_encoder/model", "final_layer_norm.bias"),
    ],
)
def test_a_base_with_nan_is_refused(
    folder: Path, fineface_folder: Path, part: str, name: str
) -> None:
    count = with_tensor(folder / f"{part}.safetensors", name, lambda t: t.fill_(torch.nan))
    assert refusal(folder, fineface_folder) == (
        f"{(folder / part).parent}: {name} holds values that are not finite numbers "
        f"({count} of {count}); take another file, or download it again"
    )


def test_numbers_too_large_for_float16_say_what_to_set(folder: Path, fineface_folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    with_tensor(file, "decoder.conv_in.bias", lambda t: t.fill_(1e6))
    assert refusal(folder, fineface_folder, dtype="float16").endswith(
        "they may be too large for float16: set pipeline.dtype to bfloat16 or float32, or take "
        "another file"
    )


def test_whole_numbers_in_a_base_are_refused(folder: Path, fineface_folder: Path) -> None:
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    with_tensor(file, "conv_in.weight", lambda t: t.to(torch.int64))
    assert refusal(folder, fineface_folder) == (
        f"{file}: conv_in.weight holds numbers of the format I64; weights must be F16, BF16, F32, "
        "F64"
    )


def test_a_lora_with_nan_is_refused(folder: Path, fineface_folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(fineface_folder, tmp_path / "ff"))
    file = other / "pytorch_lora_weights.safetensors"
    name = next(iter(load_file(file)))
    with_tensor(file, name, lambda t: t.fill_(torch.inf))
    said = refusal(folder, other)
    assert said.startswith(f"{file}: {name} holds values that are not finite numbers (")


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("text_encoder", "hidden_size", 10**9),
        ("unet", "cross_attention_dim", 10**9),
        ("vae", "latent_channels", 10**9),
        ("scheduler", "num_train_timesteps", 10**9),
    ],
)
def test_absurd_sizes_take_no_memory(
    folder: Path, fineface_folder: Path, part: str, key: str, value: int
) -> None:
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    change(path, lambda content: content.update({key: value}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert refusal(folder, fineface_folder) == (
        f"model configuration {path}: {key} is {value}; at most 1,048,576 is possible"
    )
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("text_encoder", "hidden_size", 2**20),
        ("text_encoder", "num_attention_heads", 0),
        ("unet", "block_out_channels", "wide"),
        ("unet", "down_block_types", [1, None]),
        ("vae", "norm_num_groups", 0),
        ("scheduler", "beta_schedule", 7),
        ("scheduler", "beta_start", "low"),
    ],
)
def test_strange_values_make_a_sentence(
    folder: Path, fineface_folder: Path, part: str, key: str, value: object
) -> None:
    path = folder / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    change(path, lambda content: content.update({key: value}))
    said = refusal(folder, fineface_folder)
    assert said.startswith(f"{folder}")
    assert "cannot be loaded" in said
    assert len(said) < 600


@pytest.mark.parametrize(
    "name",
    ["model_index.json", "scheduler/scheduler_config.json", "tokenizer/tokenizer_config.json"],
)
def test_json_files_that_are_none_make_a_sentence(
    folder: Path, fineface_folder: Path, name: str
) -> None:
    (folder / name).write_text("<html>Sign in</html>")
    said = refusal(folder, fineface_folder)
    assert said.endswith("is no JSON: Expecting value: line 1 column 1 (char 0)")
    assert str(folder / name) in said


def test_a_tokenizer_of_another_text_encoder_is_refused(
    folder: Path, fineface_folder: Path
) -> None:
    change(folder / "tokenizer" / "tokenizer_config.json", lambda c: c.update(model_max_length=300))
    assert refusal(folder, fineface_folder) == (
        f"the tokenizer in {folder} has 300 places; its text encoder has 256"
    )


def test_a_vae_of_another_latent_scale_is_refused(
    folder: Path, fineface_folder: Path, tmp_path: Path
) -> None:
    vae = Path(shutil.copytree(folder / "vae", tmp_path / "sdxl-vae"))
    change(vae / "config.json", lambda content: content.update(scaling_factor=0.13025))
    assert refusal(folder, fineface_folder, weights={"vae": str(vae)}) == (
        f"the VAE {vae} has the latent scale 0.13025; the base {folder} was trained with 0.18215 "
        "(a VAE of SDXL serves no Stable Diffusion 1.x or 2.x)"
    )


def test_a_base_for_inpainting_is_refused(folder: Path, fineface_folder: Path) -> None:
    unet = tiny_unet(0)
    wide = type(unet).from_config(unet.config, in_channels=9)
    wide.save_pretrained(folder / "unet")
    assert refusal(folder, fineface_folder) == (
        f"the UNet in {folder} takes 9 channels and gives 4, and the latents of the VAE "
        f"{folder}/vae have 4; for text to image they must be equal (a base for inpainting or "
        "depth has more)"
    )


@pytest.mark.parametrize(
    "said", [{"prediction_type": "flow"}, {"_class_name": "FlowMatchEulerDiscreteScheduler"}]
)
def test_a_sampler_that_predicts_something_else_is_refused(
    folder: Path, fineface_folder: Path, said: dict[str, str]
) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    change(path, lambda content: content.update(said))
    assert refusal(folder, fineface_folder) == (
        f"{path}: prediction_type is 'flow'; samplers here know epsilon, v_prediction, sample"
    )


def test_a_size_that_would_be_rounded_is_refused(folder: Path, fineface_folder: Path) -> None:
    source = FineFaceSource(config(folder, fineface_folder, height=40), "cpu")
    cells = source._pipeline.vae_scale_factor
    source._pipeline.vae_scale_factor = 16
    with pytest.raises(ConfigError) as caught:
        DiffusionSource.__init__(
            source, config(folder, fineface_folder, height=40), source._pipeline
        )
    assert str(caught.value) == (
        "pipeline.height is 40; with this base it must be a multiple of 16"
    )
    assert cells == 2


def test_a_pipeline_in_python_is_loaded_whole_or_not(folder: Path) -> None:
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    with_tensor(file, "decoder.conv_in.bias", lambda t: t.fill_(torch.nan))
    with pytest.raises(WeightsError) as caught:
        FineFacePipeline.from_pretrained(folder)
    assert str(caught.value) == (
        f"{folder}, vae: decoder.conv_in.bias holds values that are not finite numbers (16 of 16); "
        "take another file, or download it again"
    )


def test_an_ip_adapter_with_nan_is_not_kept(sd_folder: Path, tmp_path: Path) -> None:
    state = face_adapter_state()
    state["ip_adapter"]["1.to_v_ip.weight"].fill_(torch.nan)
    torch.save(state, tmp_path / "faceid.bin")
    pipeline = FineFaceIPAdapterPipeline.from_pretrained(sd_folder)
    with pytest.raises(WeightsError, match=r"^the IP-Adapter: .* holds values that are not finite"):
        pipeline.load_ip_adapter(
            tmp_path, subfolder="", weight_name="faceid.bin", image_encoder_folder=None
        )
    assert pipeline.unet.encoder_hid_proj is None


NAMES = ["attn_processors.ckpt", "au_encoder.ckpt", "pytorch_lora_weights.safetensors"]


@functools.cache
def asked_unet() -> torch.nn.Module:
    """A UNet that is only asked for its shapes."""
    return tiny_unet(0)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=50, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    name=st.sampled_from(NAMES),
    place=st.floats(0, 0.999),
    piece=st.binary(min_size=1, max_size=12),
    kind=st.sampled_from(["flip", "insert", "cut"]),
)
def test_mutated_published_files_are_read_whole_or_refused(
    fineface_folder: Path, name: str, place: float, piece: bytes, kind: str
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        other = Path(shutil.copytree(fineface_folder, Path(scratch) / "ff"))
        content = (other / name).read_bytes()
        # The first 4,096 bytes hold what others are told by.
        at = int(place * min(len(content), 4096))
        rest = {"flip": content[at + len(piece) :], "insert": content[at:], "cut": b""}[kind]
        (other / name).write_bytes(content[:at] + piece + rest)
        refuse_or_whole(lambda: read_au_adapter(other, asked_unet(), "", 1.0))


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    part=st.sampled_from(["image_proj", "ip_adapter"]),
    number=st.integers(0, 5),
    dtype=st.sampled_from(
        [torch.int64, torch.bool, torch.complex64, torch.float16, torch.float8_e5m2]
    ),
    shape=st.lists(st.integers(0, 5), max_size=3),
)
def test_swapped_tensors_of_a_face_adapter_are_refused(
    tmp_path: Path, part: str, number: int, dtype: torch.dtype, shape: list[int]
) -> None:
    state = face_adapter_state()
    name = sorted(state[part])[number % len(state[part])]
    state[part][name] = torch.ones(shape).to(dtype)
    torch.save(state, tmp_path / "faceid.bin")
    with pytest.raises(WeightsError):
        read_face_adapter(tmp_path / "faceid.bin", asked_unet())


def refuse_or_whole(read: Callable[[], torch.nn.Module]) -> None:
    said = ""
    try:
        state = read().state_dict()
    except WeightsError as error:
        said, state = str(error), {}
    assert len(said) < 1500
    assert all(bool(value.isfinite().all()) for value in state.values())
