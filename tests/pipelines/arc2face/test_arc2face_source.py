"""The image source of Arc2Face: what an image follows from, whom it shows, whom it refuses."""

import io
import json
import shutil
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from arc2face_files import expressions, people
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, LCMScheduler
from PIL import Image
from safetensors.torch import load_file, save_file

from pipelines.arc2face.section import Arc2FaceConfig
from pipelines.arc2face.source import Arc2FaceSource
from pipelines.interfaces import ImageSource
from pipelines.loading import load_source
from samplers.flame import FlameExpression
from samplers.identities.identity import FaceIdentity
from samplers.identities.reference import ReferenceImage
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_vector
from synthgen.errors import BankError, ConfigError, FaceEmbeddingError, PictureError, WeightsError

EMBEDDER = "sha256:0123"


@pytest.fixture(scope="module")
def config(files):
    """Return a function from further keys of weights, and of the section, to the section."""

    def make(weights=(), **settings):
        places = {
            "base": str(files.base),
            "arc2face": str(files.published),
            "expression": str(files.expression),
            "embedder": EMBEDDER,
            **dict(weights),
        }
        keys = {"name": "arc2face", "weights": places, "num_inference_steps": 2, **settings}
        return Arc2FaceConfig.model_validate(keys)

    return make


@pytest.fixture(scope="module")
def source(config):
    found = load_source(config(), "cpu")
    assert isinstance(found, Arc2FaceSource)
    return found


def someone(number: int, faces: int = 1, embedder: str = EMBEDDER) -> FaceIdentity:
    rows = people(faces, seed=number)
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return FaceIdentity(f"person-{number}", rows.astype(np.float32), embedder)


def face(number: int) -> FlameExpression:
    return FlameExpression(expressions(1, seed=number)[0], "ab" * 32)


def attempt(index: int, person=None, expression=None, more=(), **settings) -> Attempt:
    conditions = {
        "aus": au_vector({"AU12": float(index)}),
        "faceid": someone(index) if person is None else person,
        "flame": face(index) if expression is None else expression,
        **dict(more),
    }
    spec = SampleSpec(
        index=index, split="train", position=index, replacement=0, stratum="happy",
        conditions={name: value for name, value in conditions.items() if value != "none"},
        emotion=None, identity_id="", identity={}, identity_seed=0,
        prompt="photo of a id person", negative_prompt="blur",
    )  # fmt: skip
    return Attempt(spec, 0, **{"seed": 11 + index, **settings})


def pixels(source: ImageSource, attempts: Sequence[Attempt]) -> list[np.ndarray]:
    return [np.asarray(image) for image in source.generate(attempts)]


def test_an_image_depends_on_its_attempt_and_the_batch_length_alone(source):
    attempts = [attempt(index) for index in range(3)]
    first, turned = pixels(source, attempts), pixels(source, attempts[::-1])
    assert all(np.array_equal(*pair) for pair in zip(first, turned[::-1], strict=True))
    assert [image.shape for image in first] == [(16, 16, 3)] * 3
    again = pixels(source, [attempts[1], attempt(7), attempt(8)])
    assert np.array_equal(again[0], first[1])


def test_person_expression_and_noise_change_it(source):
    plain, person, expression, noise, same = pixels(
        source,
        [
            attempt(1),
            attempt(1, person=someone(2)),
            attempt(1, expression=face(2)),
            attempt(1, seed=99),
            attempt(1),
        ],
    )
    assert np.array_equal(plain, same)
    for other in (person, expression, noise):
        assert not np.array_equal(plain, other)


def test_a_person_of_several_faces_is_the_middle_of_them(source):
    several = someone(3, faces=4)
    middle = FaceIdentity("middle", several.mean[None], EMBEDDER)
    first, second = pixels(source, [attempt(1, person=several), attempt(1, person=middle)])
    assert np.array_equal(first, second)


def test_it_is_what_the_pipeline_paints(source, files):
    """The same call of a pipeline that was loaded by hand."""
    pipe = files.pipeline()
    pipe.load_expression_adapter(files.expression)
    asked = [attempt(1), attempt(2)]
    generators = [torch.Generator().manual_seed(one.seed) for one in asked]
    noise = torch.stack([torch.randn(4, 8, 8, generator=generator) for generator in generators])
    images = pipe(
        np.stack([one.spec.faceid.mean for one in asked]),
        np.stack([one.spec.conditions["flame"].numbers for one in asked]),
        negative_prompt=["blur", "blur"],
        num_inference_steps=2,
        latents=noise,
        generator=generators,
    ).images
    for made, wanted in zip(pixels(source, asked), images, strict=True):
        assert np.abs(made.astype(int) - np.asarray(wanted)).max() <= 1


def test_scales_steps_guidance_and_size_are_the_configured_ones(config, source):
    off = Arc2FaceSource(config(expression_scale=0.0), "cpu")
    one, two = pixels(off, [attempt(1), attempt(1, expression=face(2))])
    assert np.array_equal(one, two)
    plain = pixels(source, [attempt(1)])[0]
    for settings in ({"num_inference_steps": 3}, {"guidance_scale": 1.0}, {"scheduler": "ddim"}):
        assert not np.array_equal(
            pixels(Arc2FaceSource(config(**settings), "cpu"), [attempt(1)])[0], plain
        )
    wide = Arc2FaceSource(config(height=24, width=32), "cpu")
    assert pixels(wide, [attempt(1)])[0].shape == (24, 32, 3)


@pytest.mark.parametrize(
    ("scheduler", "kind"),
    [("dpmpp", DPMSolverMultistepScheduler), ("ddim", DDIMScheduler), ("base", DDIMScheduler)],
)
def test_samplers_keep_the_noise_levels_of_the_base(config, files, scheduler, kind):
    found = Arc2FaceSource(config(scheduler=scheduler), "cpu")._pipeline.scheduler
    assert type(found) is kind
    own = json.loads((files.base / "scheduler" / "scheduler_config.json").read_text())
    for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps"):
        assert found.config[key] == own[key]


def test_latent_consistency_draws_each_images_own_noise(config, files, source):
    lcm = Arc2FaceSource(config({"lcm_lora": str(files.lcm)}, scheduler="lcm"), "cpu")
    assert type(lcm._pipeline.scheduler) is LCMScheduler
    first, turned = (pixels(lcm, pair) for pair in ([attempt(1), attempt(2)],) * 2)
    assert all(np.array_equal(*pair) for pair in zip(first, turned, strict=True))
    turned = pixels(lcm, [attempt(2), attempt(1)])
    assert np.array_equal(turned[1], first[0])
    names = set(lcm.fingerprint()["weights"]) - set(source.fingerprint()["weights"])
    assert names == {"lcm_lora/pytorch_lora_weights.safetensors"}
    assert "LCM-LoRA" in lcm.fingerprint()["licences"]


def test_a_file_that_is_no_lora_is_refused(config, tmp_path):
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(WeightsError) as caught:
        Arc2FaceSource(config({"lcm_lora": str(tmp_path)}, scheduler="lcm"), "cpu")
    assert str(caught.value).startswith(f"{tmp_path}/pytorch_lora_weights.safetensors ")


def test_a_lora_of_another_model_is_refused(config, files, tmp_path):
    found = load_file(files.lcm / "pytorch_lora_weights.safetensors")
    others = {name.replace("unet.", "text_encoder."): value for name, value in found.items()}
    save_file(others, tmp_path / "pytorch_lora_weights.safetensors")
    with pytest.raises(WeightsError) as caught:
        Arc2FaceSource(config({"lcm_lora": str(tmp_path)}, scheduler="lcm"), "cpu")
    where = f"{tmp_path}/pytorch_lora_weights.safetensors"
    assert str(caught.value) == f"{where} holds no LoRA of the UNet"


def picture(shade: int) -> ReferenceImage:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade, 90, 200 - shade)).save(buffer, "PNG")
    return ReferenceImage.of(buffer.getvalue())


def test_references_are_shown_where_a_spec_has_one(config, files, source):
    edits = Arc2FaceSource(config({"reference": str(files.reference)}), "cpu")
    plain = pixels(source, [attempt(1), attempt(2)])
    untouched = pixels(edits, [attempt(1), attempt(2)])
    assert all(np.array_equal(*pair) for pair in zip(plain, untouched, strict=True))
    shown = [attempt(n, more={"reference": picture(10 * n)}) for n in (1, 2)]
    both = pixels(edits, shown)
    assert not np.array_equal(both[0], plain[0])
    assert np.array_equal(pixels(edits, shown[::-1])[1], both[0])
    other = pixels(edits, [attempt(1, more={"reference": picture(200)}), shown[1]])
    assert not np.array_equal(other[0], both[0])
    assert np.array_equal(other[1], both[1])
    broken = ReferenceImage.of(b"no picture")
    with pytest.raises(PictureError) as caught:
        edits.check(attempt(1, more={"reference": broken}).spec)
    assert str(caught.value) == (
        f"the reference {broken.reference_id} of sample-00000001 cannot be used: it is no picture "
        "of a kind that is known"
    )
    half = Arc2FaceSource(config({"reference": str(files.reference)}, reference_scale=0.4), "cpu")
    assert not np.array_equal(pixels(half, shown)[0], both[0])
    assert "reference/pytorch_lora_weights.safetensors" in edits.fingerprint()["weights"]


def test_what_it_cannot_show_is_refused(source):
    source.check(attempt(1).spec)
    other = someone(4, embedder="sha256:ffff")
    for call in (
        lambda: source.check(attempt(2, person=other).spec),
        lambda: source.generate([attempt(1), attempt(2, person=other)]),
    ):
        with pytest.raises(FaceEmbeddingError) as caught:
            call()
        assert str(caught.value) == (
            "the embeddings of person-4 were made by 'sha256:ffff'; Arc2Face understands those of "
            "its own recogniser alone, 'sha256:0123': make them with synthgen faces embed "
            "--embedder arc2face"
        )
    with pytest.raises(FaceEmbeddingError) as caught:
        source.check(attempt(2, person="none").spec)
    assert str(caught.value) == (
        "sample-00000002 has no face embedding; the pipeline arc2face shows people of the identity "
        "source faceid"
    )
    with pytest.raises(ConfigError) as caught:
        source.check(attempt(2, expression="none").spec)
    assert str(caught.value) == "sample-00000002 has no condition 'flame'; it has aus, faceid"
    broken = FlameExpression(np.full(55, np.nan, np.float32), "ab" * 32)
    with pytest.raises(BankError) as caught:
        source.check(attempt(2, expression=broken).spec)
    assert str(caught.value) == (
        "the expression of sample-00000002: row 0 (from 0) holds nan at place 0; every number must "
        "be finite"
    )


def test_a_base_with_a_strange_sampler_is_refused(config, files, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(files.base, base)
    path = base / "scheduler" / "scheduler_config.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "_class_name": "AutoencoderKL"}))
    with pytest.raises(WeightsError) as caught:
        Arc2FaceSource(config({"base": str(base)}), "cpu")
    assert str(caught.value) == (
        f"{path}: _class_name is 'AutoencoderKL'; it must be a sampler of diffusers"
    )
