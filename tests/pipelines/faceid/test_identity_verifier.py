"""Whether an image shows the person asked for: measured, judged."""

import math

import numpy as np
import pytest
from tiny_face_embedder import face_embedder, portrait

from pipelines.faceid.section import IdentityPolicy
from pipelines.faceid.verifier import (
    NOT_MEASURED,
    IdentityMeasurement,
    IdentityVerifier,
    judge_identity,
)
from pipelines.policy import Verdict, joined
from samplers.identities.embeddings import StoreAbout
from samplers.identities.identity import FaceIdentity
from samplers.identities.store import FaceStore
from synthgen.errors import StoreError

GOOD = Verdict.accept()


@pytest.fixture
def embedder(tmp_path):
    return face_embedder(tmp_path)


def embedded(embedder, seed):
    return embedder.embed([portrait(seed)]).embeddings


def store(embedder, seeds, prefix="p", where="store"):
    about = StoreAbout(embedder=embedder.fingerprint, embedder_name=embedder.name)
    rows = np.concatenate([embedded(embedder, seed) for seed in seeds])
    return FaceStore.build(rows, [f"{prefix}{seed}" for seed in seeds], about, where=where)


def test_the_person_asked_for_is_found(embedder):
    verifier = IdentityVerifier(embedder)
    person = store(embedder, [1]).face("p1")
    found = verifier.compare([portrait(1), portrait(2), portrait(1)], [person, person, None])
    assert found[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert found[1].similarity < found[0].similarity
    assert found[2].similarity is None
    assert found[2].embedding.tolist() == found[0].embedding.tolist()
    assert found[0].forbidden is None
    alone = verifier.compare([portrait(2)], [person])[0]
    assert alone.similarity == found[1].similarity


def test_several_faces_of_a_person_are_taken_at_their_middle(embedder):
    both = np.concatenate([embedded(embedder, 1), embedded(embedder, 2)])
    person = FaceIdentity("p", both, embedder.fingerprint)
    (found,) = IdentityVerifier(embedder).compare([portrait(3)], [person])
    middle = both.sum(0) / np.linalg.norm(both.sum(0))
    assert found.similarity == pytest.approx(float(middle @ embedded(embedder, 3)[0]), abs=1e-6)


def test_the_nearest_of_those_who_must_not_appear_is_named(embedder):
    forbidden = store(embedder, [4, 5, 6])
    (found,) = IdentityVerifier(embedder, forbidden=forbidden).compare([portrait(5)], [None])
    assert found.forbidden_name == "p5"
    assert found.forbidden == pytest.approx(1.0, abs=1e-6)


def test_a_second_embedder_compares_with_its_own_store(embedder, tmp_path):
    second = face_embedder(tmp_path, seed=1, name="second")
    person = store(embedder, [1]).face("p1")
    verifier = IdentityVerifier(second, wanted=store(second, [1, 2]))
    (found,) = verifier.compare([portrait(1)], [person])
    assert found.similarity == pytest.approx(1.0, abs=1e-6)
    assert set(verifier.fingerprint()["stores"]) == {"verify.identity.wanted"}
    assert verifier.fingerprint()["weights"].keys() == {"second.safetensors"}


def test_embeddings_of_another_embedder_are_refused(embedder, tmp_path):
    second = face_embedder(tmp_path, seed=1, name="second")
    with pytest.raises(StoreError) as caught:
        IdentityVerifier(second, forbidden=store(embedder, [1], where="bad.parquet"))
    assert str(caught.value) == (
        f"bad.parquet holds embeddings of '{embedder.fingerprint}' (face-embedder-tiny); "
        f"the embedder of the check is face-embedder-second, '{second.fingerprint}': embed its "
        "photographs by that"
    )
    with pytest.raises(StoreError) as caught:
        IdentityVerifier(second).check_person(store(embedder, [1]).face("p1"))
    assert str(caught.value) == (
        f"the embeddings of p1 are of '{embedder.fingerprint}'; the embedder of the check is "
        f"face-embedder-second, '{second.fingerprint}': name a store of the same people by that "
        "as the check's wanted"
    )
    with pytest.raises(StoreError) as caught:
        IdentityVerifier(second, wanted=store(second, [2], where="w.parquet")).check_person(
            store(embedder, [1]).face("p1")
        )
    assert str(caught.value) == (
        "w.parquet (wanted of the check) does not hold 'p1', whom identities.store names"
    )


def shown(similarity=None, forbidden=None):
    return IdentityMeasurement(np.zeros(512, np.float32), similarity, forbidden, "p9")


def test_a_stranger_is_rejected():
    policy = IdentityPolicy(min_identity_similarity=0.5)
    assert judge_identity(shown(0.5), policy) == GOOD
    assert judge_identity(shown(None), policy) == GOOD
    verdict = judge_identity(shown(0.25), policy)
    assert (verdict.accepted, verdict.reason) == (False, "identity")
    assert verdict.detail == (
        "the similarity to the person asked for is 0.250; the least allowed is 0.5"
    )
    assert verdict.distance == pytest.approx(2.5)


def test_somebody_who_must_not_appear_is_rejected():
    policy = IdentityPolicy(max_similarity_to_forbidden=0.4)
    verdict = judge_identity(shown(0.9, 0.6), policy)
    assert (verdict.accepted, verdict.reason) == (False, "forbidden")
    assert verdict.detail == (
        "the similarity to p9, who must not appear, is 0.600; at most 0.4 is allowed"
    )


def test_the_first_reason_stays_and_misses_add_up():
    policy = IdentityPolicy(min_identity_similarity=0.5, max_similarity_to_forbidden=0.4)
    bad = Verdict.reject("inactive", "AU1", 1.0)
    verdict = joined([bad, judge_identity(shown(0.3, 0.5), policy)])
    assert (verdict.reason, verdict.detail) == ("inactive", "AU1")
    assert verdict.distance == pytest.approx(1 + 10 * 0.3)


def test_no_face_is_only_a_fault_where_faces_are_judged():
    assert judge_identity(NOT_MEASURED, IdentityPolicy()) == GOOD
    verdict = judge_identity(NOT_MEASURED, IdentityPolicy(min_identity_similarity=0.1))
    assert (verdict.reason, verdict.detail) == ("identity", "the face embedder found no face")
    assert math.isinf(verdict.distance)
