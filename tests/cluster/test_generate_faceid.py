"""Runs over a store of people whose images are compared with them."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from embedded import EDITION
from tiny_face_embedder import face_embedder, portrait
from tiny_faceid import make_face_adapter
from tiny_fineface import make_fineface, make_sd

from cluster.driver import generate
from pipelines.libreface.weights import MINI_FILE
from samplers.identities.embeddings import StoreAbout
from samplers.identities.store import FaceStore, read_store, write_store
from synthgen.config import parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record, read_statistics
from synthgen.errors import ConfigError, StoreError


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Write a tiny base, FineFace files and an IP-Adapter; return their section."""
    folder = tmp_path_factory.mktemp("weights")
    make_fineface(folder, weight_prefix="sd15_", lora=False)
    make_face_adapter(folder)
    places = {"fineface": str(folder), "ip_adapter": str(folder), "weight_name": "faceid.bin"}
    return {"base": str(make_sd(folder)), **places}


@pytest.fixture
def embedder(tmp_path):
    return face_embedder(tmp_path)


@pytest.fixture
def make(tmp_path, weights):
    """Return a function that configures a run of six samples."""

    def make(people, policy=None, **check):
        told = read_store(people).about.embedder
        pipeline = {"name": "fineface-faceid", "weights": {**weights, "embedder": told}}
        identities = {"source": "faceid", "store": people}
        return configure(
            tmp_path, identities, {**pipeline, "num_inference_steps": 1}, policy, **check
        )

    return make


@pytest.fixture
def people(embedder, tmp_path):
    """Write a store of eight people and return its path."""
    return write_people(embedder, tmp_path / "people.parquet", range(8))


def write_people(embedder, path, seeds):
    about = StoreAbout(
        embedder=embedder.fingerprint, embedder_name=embedder.name, licence=embedder.licence
    )
    rows = embedder.embed([portrait(seed) for seed in seeds]).embeddings
    write_store(path, FaceStore.build(rows, [f"p{seed}" for seed in seeds], about))
    return str(path)


def configure(tmp_path, identities, pipeline, policy=None, **check):
    embedder = {"kind": "mini", "weights": str(tmp_path / "tiny.safetensors")}
    return parse_config(
        {
            "name": "people",
            "seed": 5,
            "samples": 6,
            "output": {"path": str(tmp_path / "out"), "splits": {"train": 0.5, "test": 0.5}},
            "expressions": {"prior": "emotions", "categories": ["neutral", "happy"]},
            "identities": {**identities, "expressions_per_identity": 2},
            "pipeline": {**pipeline, "batch_size": 3},
            "verify": {
                # As a file, so that the noise of tiny models counts as a face.
                "weights": str(MINI_FILE),
                "aligner": "centered",
                "identity": {"embedder": embedder, **check},
                "policy": {"max_active_error": 5, "max_inactive": 5, "min_active": None}
                | (policy or {}),
                "max_attempts": 1,
                "on_exhausted": "keep_best",
            },
        }
    )


def rows_of(config):
    files = sorted(Path(config.output.path).glob("data/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def test_rows_hold_who_was_asked_for_and_who_is_seen(embedder, people, make, tmp_path):
    forbidden = write_people(embedder, tmp_path / "others.parquet", [20, 21])
    config = make(people, forbidden=forbidden)
    generate(config, "inline")
    store = read_store(people)
    rows = rows_of(config)
    for row in rows:
        wanted, seen = (np.array(row[f"faceid_{name}"]) for name in ("embedding", "measured"))
        np.testing.assert_allclose(
            wanted, store.face(row["identity_id"].rpartition("@")[0]).mean, atol=1e-6
        )
        assert row["identity_similarity"] == pytest.approx(wanted @ seen, abs=1e-5)
        assert row["forbidden_similarity"] <= 1
    assert len({row["identity_id"] for row in rows}) == 3
    storage = Storage(config.output.path)
    record = read_record(storage)
    assert set(record.identity["stores"]) == {"identities.store", "verify.identity.forbidden"}
    assert record.licences["face embeddings (face-embedder-tiny)"] == "CC0-1.0"
    assert record.licences["tiny.safetensors"] == "CC0-1.0"
    assert "tiny.safetensors" in record.identity["weights"]
    faces = read_statistics(storage).faces
    assert faces is not None
    assert faces.compared == 6
    assert inspect_dataset(config.output.path).problems == ()
    assert "face-embedder-tiny" in storage.read("README.md").decode()


def test_strangers_and_the_forbidden_are_rejected(embedder, people, make, tmp_path):
    strict = make(people, {"min_identity_similarity": 1.0})
    assert generate(strict, "inline").rejected == {"identity": 6}
    forbidden = write_people(embedder, tmp_path / "others.parquet", [20, 21])
    screened = make(people, {"max_similarity_to_forbidden": -1.0}, forbidden=forbidden)
    summary = generate(screened, "inline", overwrite=True)
    assert summary.rejected == {"forbidden": 6}
    assert summary.rows == 6


def test_a_store_of_another_embedder_is_refused_before_any_work(people, make, tmp_path):
    second = face_embedder(tmp_path, seed=1, name="second")
    other = {"kind": "mini", "weights": str(tmp_path / "second.safetensors")}
    config = make(people, embedder=other)
    with pytest.raises(StoreError, match=f"the embedder of the check is {second.name}"):
        generate(config, "inline")
    assert not (tmp_path / "out").exists()


PROMPTS = {
    "source": "prompts",
    "template": "a {age} man",
    "slots": {"age": ["young", "middle-aged", "old"]},
}
DRAWN = {"name": "procedural", "edition": EDITION}


def test_people_of_prompts_are_measured_for_consistency_alone(embedder, tmp_path):
    config = configure(tmp_path, PROMPTS, DRAWN)
    generate(config, "inline")
    (row, *_) = rows_of(config)
    assert len(row["faceid_measured"]) == 512
    assert not {"faceid_embedding", "identity_similarity", "forbidden_similarity"} & set(row)


@pytest.mark.parametrize(
    ("policy", "check", "said"),
    [
        (
            {"min_identity_similarity": 0.5},
            {},
            "verify.policy.min_identity_similarity: it compares images with the people of a "
            "store; identities.source is 'prompts', it must be 'faceid'",
        ),
        (
            {},
            {"wanted": "store.parquet"},
            "verify.identity.wanted: it compares images with the people of a store; "
            "identities.source is 'prompts', it must be 'faceid'",
        ),
        (
            {"max_similarity_to_forbidden": 0.5},
            {},
            "verify: policy.max_similarity_to_forbidden needs a store of embeddings as "
            "verify.identity.forbidden",
        ),
    ],
)
def test_what_cannot_be_judged_is_refused(policy, check, said, tmp_path):
    with pytest.raises(ConfigError) as caught:
        configure(tmp_path, PROMPTS, DRAWN, policy, **check)
    assert str(caught.value).endswith(said)


def test_similarity_needs_an_embedder(tmp_path):
    with pytest.raises(ConfigError) as caught:
        parse_config(
            {
                **configure(tmp_path, PROMPTS, DRAWN).model_dump(mode="json"),
                "verify": {"policy": {"min_identity_similarity": 0.5}},
            }
        )
    assert str(caught.value).endswith(
        "verify: policy.min_identity_similarity needs an embedder: set verify.identity, such as "
        "{embedder: {kind: mini}}"
    )


def test_a_configuration_without_the_check_is_stored_as_before(tmp_path):
    verify = configure(tmp_path, PROMPTS, DRAWN).verify
    plain = verify.model_copy(update={"checks": verify.checks[:1]})
    stored = plain.model_dump(mode="json")
    assert "identity" not in stored
    assert not {"min_identity_similarity", "max_similarity_to_forbidden"} & set(stored["policy"])
