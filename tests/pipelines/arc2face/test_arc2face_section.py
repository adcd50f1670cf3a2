"""The section of the pipeline `arc2face`: keys, files, and what it refuses in a run."""

import shutil
from pathlib import Path

import pytest
from flame_banks import make_bank

from pipelines.arc2face.section import Arc2FaceConfig, Arc2FaceWeights
from pipelines.arc2face.weights import checksums, locate
from pipelines.loading import check_components, fetch_weights
from pipelines.weight_files import file_sha256
from synthgen.config import RunConfig, load_config, parse_config
from synthgen.config.base import Weights
from synthgen.errors import ConfigError, PromptError, WeightsError

EXAMPLE = Path(__file__).parents[3] / "examples" / "arc2face-sd15.yaml"
EMBEDDER = "sha256:0123"


@pytest.fixture
def named(files):
    """Return a function from further keys of weights to the section's mapping `weights`."""

    def name(**more):
        places = {
            "base": str(files.base),
            "arc2face": str(files.published),
            "expression": str(files.expression),
            "embedder": EMBEDDER,
        }
        return {key: value for key, value in {**places, **more}.items() if value is not None}

    return name


@pytest.fixture
def run(named, tmp_path):
    """Return a function that configures a run of people whose expressions a bank renders."""
    make_bank().write(tmp_path / "bank.parquet")

    def configure(pipeline=None, identities=None, flame=True) -> RunConfig:
        bank = {"flame": {"bank": str(tmp_path / "bank.parquet")}} if flame else {}
        people = {"source": "faceid", "store": "people.parquet"}
        return parse_config(
            {
                "name": "test",
                "seed": 1,
                "samples": 1,
                "output": {"path": "out"},
                "expressions": {"prior": "emotions", "categories": ["happy"], **bank},
                "identities": {**people, "template": "photo of a id person", **(identities or {})},
                "pipeline": {"name": "arc2face", "weights": named(), **(pipeline or {})},
                "verify": {"checks": []},
            }
        )

    return configure


def test_a_name_is_enough_and_means_the_published_weights():
    config = Arc2FaceConfig.model_validate({"name": "arc2face"})
    assert config.weights == Arc2FaceWeights(
        base="stable-diffusion-v1-5/stable-diffusion-v1-5",
        arc2face="FoivosPar/Arc2Face",
        expression="FoivosPar/Arc2Face",
    )
    sampling = (config.scheduler, config.num_inference_steps, config.guidance_scale)
    assert sampling == ("dpmpp", 25, 3.0)
    assert (config.expression_scale, config.reference_scale) == (1.0, 0.8)
    assert config.local_paths() == []
    assert config.known_rate(Weights(), ()) is None
    assert config.action_units is None


def test_latent_consistency_has_its_own_steps_and_its_lora(named):
    lcm = {"name": "arc2face", "scheduler": "lcm", "weights": named(lcm_lora="lcm")}
    config = Arc2FaceConfig.model_validate(lcm)
    assert (config.num_inference_steps, config.guidance_scale) == (4, 1.0)
    more = Arc2FaceConfig.model_validate({**lcm, "num_inference_steps": 2})
    assert (more.num_inference_steps, more.guidance_scale) == (2, 1.0)
    for keys, said in (
        ({**lcm, "weights": named()}, "scheduler: lcm needs weights.lcm_lora"),
        ({**lcm, "scheduler": "ddim"}, "weights.lcm_lora needs scheduler: lcm"),
    ):
        with pytest.raises(ValueError, match=f"{said}: the sampler and its LoRA go together"):
            Arc2FaceConfig.model_validate(keys)


def test_the_data_does_not_depend_on_which_files_are_meant_but_on_their_checksums(named, files):
    def of(**weights):
        return Arc2FaceConfig.model_validate({"name": "arc2face", "weights": named(**weights)})

    digest = {"sha256": {"expression/exp_adapter.bin": "0" * 64}}
    assert of(revision="main", **digest).identity() == of().identity()
    assert of(base="elsewhere").identity() != of().identity()
    found = of(reference=str(files.reference))
    assert found.local_paths() == [
        str(folder) for folder in (files.base, files.published, files.expression, files.reference)
    ]
    names = checksums(locate(found.weights))
    assert {
        "base/model_index.json",
        "base/scheduler/scheduler_config.json",
        "base/tokenizer/tokenizer_config.json",
        "base/vae/diffusion_pytorch_model.safetensors",
        "arc2face/config.json",
        "arc2face/diffusion_pytorch_model.safetensors",
        "encoder/config.json",
        "encoder/pytorch_model.bin",
        "expression/exp_adapter.bin",
        "reference/pytorch_lora_weights.safetensors",
    } <= names.keys()
    assert not any(name.startswith(("base/unet", "base/text_encoder")) for name in names)
    with pytest.raises(WeightsError) as caught:
        locate(of(**digest).weights)
    assert str(caught.value) == (
        f"{files.expression}/exp_adapter.bin is not the file that pipeline.weights.sha256 expects "
        f"of expression/exp_adapter.bin: its checksum is {names['expression/exp_adapter.bin']}, "
        f"not {'0' * 64}; fetch it again, or change the key if you trust it"
    )


def test_the_recogniser_is_that_of_its_file_or_the_configured_one(named, files, tmp_path):
    published = tmp_path / "published"
    shutil.copytree(files.published, published)
    (published / "arcface.onnx").unlink(missing_ok=True)
    weights = Arc2FaceWeights.model_validate(named(arc2face=str(published), embedder=None))
    with pytest.raises(WeightsError) as caught:
        locate(weights)
    assert str(caught.value) == (
        f"{published} has no file arcface.onnx, whose sha256 says which embeddings Arc2Face "
        "understands; put it there, or set pipeline.weights.embedder to that fingerprint, as "
        "stores of faces carry it"
    )
    (published / "arcface.onnx").write_bytes(b"a recogniser")
    assert locate(weights).embedder == f"sha256:{file_sha256(published / 'arcface.onnx')}"
    assert locate(Arc2FaceWeights.model_validate(named())).embedder == EMBEDDER


def test_a_preflight_learns_sizes_memory_and_licences(run, files):
    config = run({"height": 24})
    found = fetch_weights(config)
    assert {files.base, files.published, files.expression / "exp_adapter.bin"} <= set(found.files)
    assert found.licences["Stable Diffusion 1.5"] == "CreativeML OpenRAIL-M"
    assert found.licences["Arc2Face"] == "MIT"
    assert "FLAME" in found.licences["Arc2Face's Expression Adapter"]
    assert found.facts["sample_size"] == 8
    assert config.pipeline.image_size(found) == (24, 64)
    assert config.pipeline.working_memory(found) == 24 * 64 * 4 * 8 * 4
    half = run({"dtype": "float16"})
    assert 0 < fetch_weights(half).bytes == found.bytes // 2
    assert half.pipeline.number_format == "float16"


def test_a_text_encoder_and_a_tokenizer_must_be_there(named, files, tmp_path):
    published = tmp_path / "published"
    shutil.copytree(files.published, published)
    (published / "encoder" / "pytorch_model.bin").unlink()
    with pytest.raises(WeightsError) as caught:
        locate(Arc2FaceWeights.model_validate(named(arc2face=str(published))))
    assert str(caught.value) == (
        f"{published} has no file encoder/pytorch_model.bin; it must hold arc2face/config.json, "
        "arc2face/diffusion_pytorch_model.safetensors, encoder/config.json, "
        "encoder/pytorch_model.bin or encoder/model.safetensors"
    )
    base = tmp_path / "base"
    shutil.copytree(files.base, base)
    shutil.rmtree(base / "tokenizer")
    with pytest.raises(WeightsError) as caught:
        locate(Arc2FaceWeights.model_validate(named(base=str(base))))
    assert str(caught.value) == (
        f"{base} has no file tokenizer/tokenizer_config.json; Arc2Face takes the base's tokenizer"
    )


def test_it_needs_people_and_expressions_in_flame_numbers(run):
    with pytest.raises(ConfigError) as caught:
        check_components(run(flame=False))
    assert str(caught.value) == (
        "the pipeline 'arc2face' needs flame, which neither identities.source 'faceid' nor "
        "expressions.prior 'emotions' gives; set expressions.flame, or pipeline.name to "
        "'procedural', 'fineface', 'fineface-faceid' or 'fineface-baseline'"
    )
    with pytest.raises(ConfigError) as caught:
        check_components(run({"name": "fineface-faceid", "weights": "mini"}))
    assert str(caught.value) == (
        "expressions.flame gives flame, but the pipeline 'fineface-faceid' does not use it; leave "
        "expressions.flame out, or set pipeline.name to 'arc2face'"
    )


def _doubts(config):
    return config.pipeline.doubts(config)


def test_what_rows_would_name_and_images_would_not_show_is_refused_or_told(run, named, files):
    slots = {"template": "a {hair} man", "slots": {"hair": ["red", "black"]}}
    with pytest.raises(ConfigError) as caught:
        check_components(run(identities=slots))
    assert str(caught.value) == (
        "identities.slots has hair, which rows would name and the pipeline 'arc2face' does not "
        "show: it reads no prompt but 'photo of a id person'; leave the slots out"
    )
    with pytest.raises(PromptError) as caught:
        check_components(run(identities={"negative_prompt": "ab " * 20}))
    assert str(caught.value).startswith("identities.negative_prompt has 40 tokens besides begin ")
    check_components(run())
    assert _doubts(run()) == []
    told = _doubts(
        run(
            {
                "expression_scale": 0.0,
                "guidance_scale": 1.0,
                "weights": named(reference=str(files.reference)),
            },
            {"template": "a man", "negative_prompt": "blur"},
        )
    )
    assert told == [
        "identities.template: the pipeline 'arc2face' reads no prompt but 'photo of a id person'; "
        "rows name another",
        "pipeline.expression_scale is 0: images do not follow the expressions that their rows name",
        "pipeline.guidance_scale is 1, which means no guidance: identities.negative_prompt has no "
        "effect",
        "pipeline.weights.reference names a Reference Adapter that nothing uses: identities give "
        "no reference images",
    ]


def test_references_need_their_adapter_and_square_images(run, named, files):
    with pytest.raises(ConfigError) as caught:
        check_components(run(identities={"reference": True}))
    assert str(caught.value) == (
        "identities give reference images, and pipeline.weights.reference names no Reference "
        "Adapter to show them; set it, as to FoivosPar/Arc2Face"
    )
    adapter = {"weights": named(reference=str(files.reference))}
    with pytest.raises(ConfigError) as caught:
        check_components(run({**adapter, "height": 24}, {"reference": True}))
    assert str(caught.value) == (
        "identities give reference images, which are square; set pipeline.height and "
        "pipeline.width to one size, or leave both out"
    )
    edited = run(adapter, {"reference": True})
    check_components(edited)
    assert _doubts(edited) == []


def test_the_example_names_the_published_weights():
    config = load_config(EXAMPLE)
    assert isinstance(config.pipeline, Arc2FaceConfig)
    assert config.pipeline.weights.arc2face == "FoivosPar/Arc2Face"
    check_components(config)
    assert _doubts(config) == []
