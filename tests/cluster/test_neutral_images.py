"""The identity check for prompts: each image is compared with its identity's neutral image."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_face_embedder import face_embedder

from cluster.batches import Painter, StageTimes
from cluster.driver import generate
from pipelines.faceid.section import IdentityPolicy
from pipelines.faceid.verifier import IdentityMeasurement, IdentityVerifier, judge_identity
from pipelines.loading import load_source
from samplers.plan import build_plan
from synthgen.dataset import Storage, inspect_dataset, read_statistics
from synthgen.dataset.card.findings import faces_line, faces_section
from synthgen.errors import ConfigError
from synthgen.report.reproduction import reproduce

PAIR = {"expressions_per_identity": 2}


@pytest.fixture
def make(make_config, tmp_path):
    """Return a function that configures a run whose images are compared with neutral ones."""
    face_embedder(tmp_path)

    def make(folder="out", *, identities=None, policy=None, check=None, **changes):
        embedder = {"kind": "mini", "weights": str(tmp_path / "tiny.safetensors")}
        verify = {
            "identity": {"embedder": embedder, "neutral": True, **(check or {})},
            "policy": {"max_active_error": 5, "max_inactive": 5, "min_active": 0, **(policy or {})},
        }
        return make_config(folder, identities=identities or PAIR, verify=verify, **changes)

    return make


def rows_of(config, kind="data"):
    files = sorted((Path(config.output.path) / kind).glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist()


def test_rows_and_card_tell_the_similarity_to_the_neutral_image(make, tmp_path):
    config = make(samples=8)
    generate(config, "inline")

    plan, source = build_plan(config), load_source(config.pipeline, "cpu")
    embedder = face_embedder(tmp_path)
    by_id = {plan.sample(index).sample_id: plan.sample(index) for index in range(8)}
    rows = rows_of(config)
    assert len(rows) == 8
    for row in rows:
        attempt = plan.attempt(by_id[row["sample_id"]], row["attempt"])
        neutral = embedder.embed(source.generate([attempt.neutral])).embeddings[0]
        expected = float(neutral @ np.array(row["faceid_measured"], np.float32))
        assert row["identity_similarity"] == pytest.approx(expected, abs=1e-5)
    assert inspect_dataset(config.output.path).problems == ()
    faces = read_statistics(Storage(config.output.path)).faces
    assert faces is not None
    assert faces.neutral
    assert "image and neutral image of its identity, mean" in faces_section(faces)[0]
    assert f"{faces.similarity:.3f} to the neutral image of the identity" in faces_line(faces)[0]


def test_an_extended_run_is_the_same_and_is_reproduced(make):
    whole, parts = make(samples=8), make("parts", samples=4)
    generate(whole, "inline")
    generate(parts, "inline")
    generate(make("parts", samples=8), "inline")

    assert rows_of(whole) == rows_of(parts)
    assert reproduce(whole.output.path, rows_of(whole)[3]["sample_id"]).same


def test_images_too_far_from_the_neutral_one_are_rejected(make):
    config = make(samples=4, policy={"min_identity_similarity": 1.0})
    generate(config, "inline")

    rejects = rows_of(config, "rejects")
    assert {reject["reason"] for reject in rejects} == {"identity"}
    least = rejects[0]["identity_similarity"]
    assert rejects[0]["detail"] == (
        f"the similarity to the neutral image of the identity is {least:.3f}; "
        "the least allowed is 1"
    )


def test_a_neutral_image_is_painted_once_for_its_identity(make):
    config = make(samples=4)
    plan, source = build_plan(config), load_source(config.pipeline, "cpu")
    painter, times = Painter(source), StageTimes(lambda *_: None)
    attempts = [plan.attempt(plan.sample(index), 0) for index in range(4)]
    seen = [painter.neutral(attempt, times) for attempt in attempts]

    assert seen[0] is seen[1]
    assert seen[2] is seen[3]
    assert seen[0] is not seen[2]


def test_a_neutral_image_without_a_face_is_nobody(tmp_path):
    policy = IdentityPolicy(min_identity_similarity=0.5)
    verifier = IdentityVerifier(face_embedder(tmp_path), policy=policy, people=False, neutral=True)
    assert verifier.wants_neutral
    assert "identity_similarity" in verifier.columns
    found = IdentityMeasurement(
        np.zeros(512, np.float32), compared="the neutral image of the identity"
    )
    verdict = judge_identity(found, policy)
    assert (verdict.reason, verdict.detail) == (
        "identity",
        "the face embedder found no face in the neutral image of the identity",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"check": {"wanted": "x.parquet"}},
            "verify.identity.neutral: images are compared with the people of wanted; leave one of "
            "them out",
        ),
        (
            {"identities": {"source": "faceid", "store": "mini", "slots": {}, "template": "a"}},
            "verify.identity.neutral: images are compared with the people of identities.source; "
            "leave one of them out",
        ),
    ],
)
def test_what_has_a_person_is_not_compared_with_a_neutral_image(make, changes, said):
    with pytest.raises(ConfigError) as caught:
        make(**changes)
    assert str(caught.value) == f"configuration: {said}"
