"""The image source of people: whom it shows, whom it refuses, and what it is a function of."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_faceid import EMBEDDER, make_face_adapter, people
from tiny_fineface import make_fineface
from tiny_mini import make_mini

from pipelines.fineface.section import FaceIdConfig, FaceIdWeights
from pipelines.fineface.source import FaceIdSource, shown_faces
from pipelines.fineface.weights import locate_faceid
from pipelines.interfaces import ImageSource
from pipelines.loading import check_components, fetch_weights, load_source
from samplers.identities.identity import FaceIdentity
from samplers.spec import Attempt, SampleSpec
from synthgen.action_units import au_vector
from synthgen.config import RunConfig, load_config, parse_config
from synthgen.errors import ConfigError, FaceEmbeddingError, WeightsError

EXAMPLE = Path(__file__).parents[3] / "examples" / "faceid-sd15.yaml"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faceid")
    make_fineface(folder, weight_prefix="sd15_", lora=False)
    make_face_adapter(folder)
    return folder


@pytest.fixture(scope="module")
def source(sd_folder: Path, files: Path) -> FaceIdSource:
    found = load_source(config(sd_folder, files), "cpu")
    assert isinstance(found, FaceIdSource)
    return found


def config(sd: Path, files: Path, weights: dict | None = None, **settings: object) -> FaceIdConfig:
    where = {
        "base": str(sd),
        "fineface": str(files),
        "ip_adapter": str(files),
        "weight_name": "faceid.bin",
        "embedder": EMBEDDER,
        **(weights or {}),
    }
    return FaceIdConfig.model_validate(
        {"name": "fineface-faceid", "weights": where, "num_inference_steps": 2, **settings}
    )


def someone(number: int, faces: int = 1, embedder: str = EMBEDDER) -> FaceIdentity:
    return FaceIdentity(f"person-{number}", people(faces, seed=number), embedder)


def attempt(index: int, person: FaceIdentity | None, **settings: object) -> Attempt:
    conditions: dict[str, object] = {"aus": au_vector({"AU12": float(index)})}
    if person is not None:
        conditions["faceid"] = person
    spec = SampleSpec(
        index=index, split="train", position=index, replacement=0, stratum="happy",
        conditions=conditions, emotion=None, identity_id="", identity={}, identity_seed=0,
        prompt="a boy", negative_prompt="",
    )  # fmt: skip
    return Attempt(spec, 0, **{"seed": 11 + index, **settings})


def pixels(source: ImageSource, attempts: Sequence[Attempt]) -> list[np.ndarray]:
    return [np.asarray(image) for image in source.generate(attempts)]


def test_an_image_depends_on_its_attempt_and_the_batch_length_alone(source: FaceIdSource) -> None:
    attempts = [attempt(i, someone(i, faces=2)) for i in range(3)]

    first = pixels(source, attempts)
    turned = pixels(source, attempts[::-1])

    assert all(np.array_equal(*pair) for pair in zip(first, turned[::-1], strict=True))
    assert [image.shape for image in first] == [(32, 32, 3)] * 3
    assert isinstance(source, ImageSource)


def test_another_person_is_another_image(source: FaceIdSource) -> None:
    one, two = pixels(source, [attempt(1, someone(1)), attempt(1, someone(2))])
    assert not np.array_equal(one, two)


def test_the_scale_of_the_face_branch_is_the_configured_one(
    sd_folder: Path, files: Path, source: FaceIdSource
) -> None:
    off = FaceIdSource(config(sd_folder, files, ip_scale=0.0), "cpu")
    one, two = pixels(off, [attempt(1, someone(1)), attempt(1, someone(2))])
    assert np.abs(one.astype(int) - two).max() <= 1
    assert not np.array_equal(one, pixels(source, [attempt(1, someone(1))] * 2)[0])


def test_images_of_people_attend_to_their_neutral_images(
    sd_folder: Path, files: Path, source: FaceIdSource
) -> None:
    shared = FaceIdSource(config(sd_folder, files, shared_attention={}, au_start=0.5), "cpu")
    attempts = [attempt(0, someone(1)), attempt(1, someone(1)), attempt(2, someone(2))]
    found = pixels(shared, attempts)

    alone = pixels(shared, attempts[:1])[0]
    assert np.abs(found[0].astype(int) - alone.astype(int)).max() <= 1
    assert not np.array_equal(found[0], pixels(source, attempts)[0])
    assert len(shared._identities._kept) == 2


def test_people_show_their_first_faces_in_turn() -> None:
    person = someone(1, faces=3)
    assert np.array_equal(shown_faces(person, 2), person.embeddings[:2])
    assert np.array_equal(shown_faces(person, 5), person.embeddings[[0, 1, 2, 0, 1]])


def test_people_with_fewer_faces_stand_in_one_batch_with_others(
    sd_folder: Path, files: Path
) -> None:
    source = FaceIdSource(config(sd_folder, files, faces=2), "cpu")
    many, one = someone(1, faces=3), someone(2)
    twice = FaceIdentity("twice", one.embeddings.repeat(2, 0), EMBEDDER)

    first = pixels(source, [attempt(1, many), attempt(1, one)])
    second = pixels(source, [attempt(1, many), attempt(1, twice)])

    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("person", "sentence"),
    [
        (
            None,
            "sample-00000002 has no face embedding; the pipeline fineface-faceid shows people of "
            "the identity source faceid",
        ),
        (
            someone(4, embedder="sha256:ffff"),
            "the embeddings of person-4 were made by 'sha256:ffff'; the IP-Adapter faceid.bin was "
            "trained with 'sha256:0123'",
        ),
    ],
)
def test_people_that_it_cannot_show_are_refused(
    source: FaceIdSource, person: FaceIdentity | None, sentence: str
) -> None:
    with pytest.raises(FaceEmbeddingError) as error:
        source.generate([attempt(1, someone(1)), attempt(2, person)])
    assert str(error.value) == sentence


def test_another_recogniser_is_refused_before_work_begins(source: FaceIdSource) -> None:
    source.check(attempt(0, someone(1)).spec)
    with pytest.raises(FaceEmbeddingError, match="was trained with 'sha256:0123'"):
        source.check(attempt(0, someone(1, embedder="sha256:ffff")).spec)


def test_the_recogniser_must_be_known_and_not_contradicted(
    sd_folder: Path, files: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError) as error:
        FaceIdSource(config(sd_folder, files, {"embedder": None}), "cpu")
    assert str(error.value) == (
        f"{files}/faceid.bin does not say which face recogniser it was trained with; set "
        "pipeline.weights.embedder to that recogniser's fingerprint, as stores of faces carry it"
    )
    make_face_adapter(tmp_path, "own.safetensors", "sha256:ffff")
    own = {"ip_adapter": str(tmp_path), "weight_name": "own.safetensors"}
    with pytest.raises(WeightsError) as error:
        FaceIdSource(config(sd_folder, files, own), "cpu")
    assert str(error.value) == (
        f"pipeline.weights.embedder is 'sha256:0123', but {tmp_path}/own.safetensors was trained "
        "with 'sha256:ffff'"
    )


def test_fingerprint_names_every_file_and_the_licences(source: FaceIdSource) -> None:
    found = source.fingerprint()

    assert set(found) == {"weights", "licences", "versions"}
    assert {
        "base/unet/diffusion_pytorch_model.safetensors",
        "fineface/sd15_attn_processors.ckpt",
        "fineface/sd15_au_encoder.ckpt",
        "ip_adapter/faceid.bin",
    } <= set(found["weights"])
    assert list(found["licences"]) == ["Stable Diffusion", "FineFace", "IP-Adapter-FaceID"]


def test_a_base_without_a_vae_takes_another_one(
    sd_folder: Path, files: Path, source: FaceIdSource, tmp_path: Path
) -> None:
    base = tmp_path / "noVAE"
    shutil.copytree(sd_folder, base)
    vae = (base / "vae").rename(tmp_path / "vae")
    index = json.loads((base / "model_index.json").read_text())
    (base / "model_index.json").write_text(
        json.dumps({name: part for name, part in index.items() if name != "vae"})
    )

    found = FaceIdSource(config(base, files, {"vae": str(vae)}), "cpu")

    batch = [attempt(1, someone(1))]
    assert np.array_equal(pixels(found, batch)[0], pixels(source, batch)[0])
    with pytest.raises(WeightsError, match=r"has no file vae/config\.json; it must hold"):
        locate_faceid(config(base, files).weights)


def test_mini_names_the_embedded_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mini = make_mini(tmp_path)
    make_face_adapter(mini / "faceid", "ip_adapter.safetensors", EMBEDDER)
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    named = FaceIdConfig(name="fineface-faceid", weights="mini", num_inference_steps=2)

    source = FaceIdSource(named, "cpu")

    assert source.embedder == EMBEDDER
    assert np.ptp(pixels(source, [attempt(1, someone(1))])[0]) > 0
    found = source.fingerprint()
    assert {
        "fineface/pytorch_lora_weights.safetensors",
        "ip_adapter/ip_adapter.safetensors",
    } <= set(found["weights"])
    assert set(found["licences"].values()) == {"Apache-2.0"}
    assert fetch_weights(run(named)).files == ()


def run(pipeline: FaceIdConfig | dict, **identities: object) -> RunConfig:
    if isinstance(pipeline, FaceIdConfig):
        pipeline = pipeline.model_dump()
    return parse_config(
        {
            "name": "test",
            "seed": 1,
            "samples": 1,
            "output": {"path": "out"},
            "expressions": {"prior": "emotions", "categories": ["happy"]},
            "identities": identities
            or {"source": "faceid", "store": "faces.parquet", "template": "a person"},
            "pipeline": pipeline,
        }
    )


def test_fetching_returns_what_is_not_embedded(sd_folder: Path, files: Path) -> None:
    found = fetch_weights(run(config(sd_folder, files))).files
    assert found == (sd_folder, files, files / "faceid.bin")


def test_people_need_a_pipeline_that_shows_them_and_the_reverse(
    sd_folder: Path, files: Path
) -> None:
    check_components(run(config(sd_folder, files)))
    with pytest.raises(ConfigError) as error:
        check_components(run({"name": "fineface", "weights": "mini"}))
    assert str(error.value) == (
        "identities.source is 'faceid', which gives faceid, but the pipeline 'fineface' does not "
        "use it; set pipeline.name to 'fineface-faceid' or 'arc2face', or identities.source to "
        "'prompts'"
    )
    with pytest.raises(ConfigError) as error:
        check_components(run(config(sd_folder, files), source="prompts", template="a face"))
    assert str(error.value) == (
        "the pipeline 'fineface-faceid' needs faceid, which neither identities.source 'prompts' "
        "nor expressions.prior 'emotions' gives; set identities.source to 'faceid', or "
        "pipeline.name to 'procedural', 'fineface' or 'fineface-baseline'"
    )


def test_the_example_names_the_published_weights() -> None:
    found = load_config(EXAMPLE)
    assert isinstance(found.pipeline, FaceIdConfig)
    assert isinstance(found.pipeline.weights, FaceIdWeights)
    assert found.pipeline.weights.weight_prefix == "sd15_"
    assert found.pipeline.weights.weight_name == "ip-adapter-faceid-portrait-v11_sd15.bin"
    check_components(found)


def test_weights_that_are_no_mapping_show_an_example() -> None:
    with pytest.raises(ConfigError) as error:
        run({"name": "fineface-faceid", "weights": "big"})
    assert (
        "'big' is neither 'mini' nor a mapping such as "
        "{base: SG161222/Realistic_Vision_V4.0_noVAE, vae: stabilityai/sd-vae-ft-mse, "
        "fineface: Tvaranka/fineface, ip_adapter: h94/IP-Adapter-FaceID}"
    ) in str(error.value)
