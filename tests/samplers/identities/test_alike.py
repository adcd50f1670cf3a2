"""One person under two names: counted, told, and merged on demand."""

import numpy as np
import pytest

from samplers.identities import FaceStore
from samplers.identities.alike import find_alike, merge_near
from synthgen.errors import StoreError
from tests.support.tiny_faces import ABOUT, random_embeddings


def near(rows, cosine, seed=5):
    """Return rows at exactly this cosine from the given ones."""
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    noise = random_embeddings(len(rows), seed)
    noise -= (noise * rows).sum(axis=1, keepdims=True) * rows
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return (cosine * rows + np.sqrt(1 - cosine**2) * noise).astype(np.float32)


def store_with(cosines, pairs_of_one_person=0, own=0.7):
    """Return a store of `a0`, `b0` and so on at these cosines, and people with two faces each."""
    one = random_embeddings(len(cosines))
    other = np.concatenate([near(one[[i]], c, 20 + i) for i, c in enumerate(cosines)])
    person = random_embeddings(max(pairs_of_one_person, 1), 9)[:pairs_of_one_person]
    twice = near(person, own) if pairs_of_one_person else person
    ids = [f"a{i}" for i in range(len(cosines))] + [f"b{i}" for i in range(len(cosines))]
    ids += [f"p{i}" for i in range(pairs_of_one_person)] * 2
    return FaceStore.build(np.concatenate([one, other, person, twice]), ids, ABOUT)


def test_all_pairs_above_the_store_s_own_level_are_counted():
    store = store_with([0.95, 0.8, 0.72, 0.6], pairs_of_one_person=6, own=0.7)
    assert find_alike(store).sentence("S") == (
        "S: 3 pairs of faces under different names have a cosine of 0.70 or more (its own level of "
        "two faces of one person): 'a0' and 'b0' (0.950), 'a1' and 'b1' (0.800), 'a2' and 'b2' "
        "(0.720); one person may be in several splits: mend the names, or make one person of "
        "those (synthgen faces import --merge-near 0.70)"
    )


def test_without_a_level_of_its_own_a_store_s_near_copies_are_counted():
    store = store_with([0.99, 0.8], pairs_of_one_person=0)
    assert find_alike(store).sentence("S").startswith(
        "S: 1 pair of faces under different names have a cosine of 0.90 or more (hardly two "
        "people's): 'a0' and 'b0' (0.990); "
    )  # fmt: skip
    assert find_alike(store_with([0.5])).sentence("S") is None


def test_pairs_are_counted_across_blocks(monkeypatch):
    store = store_with([0.95] * 9)
    monkeypatch.setattr("samplers.identities.alike._BLOCK", 4)
    assert find_alike(store).pairs == 9


def test_the_embedded_people_are_no_finding():
    from samplers.identities import read_store

    assert find_alike(read_store("mini")).pairs == 0


def test_near_copies_become_one_person():
    first = random_embeddings(4)
    copies = near(first[:2], 0.99)
    rows = np.concatenate([first, copies, first[[0]]])
    ids = ["ann", "bob", "cy", "cy", "ben", "bo", "annie"]
    with pytest.raises(StoreError) as caught:
        FaceStore.build(rows, ids, ABOUT, where="S")
    assert str(caught.value) == (
        "S: row 0 and row 6 (from 0) hold the same embedding; keep one of them, or let synthgen "
        "faces import --merge-near 0.98 do so"
    )
    store = FaceStore.build(rows, ids, ABOUT, photos=list("abcdefg"), merge=0.98)
    assert store.identity_ids == ("ann", "bob", "cy", "cy", "ann", "bob")
    assert store.photos == tuple("abcdef")
    assert store.merged == (3, 1)
    assert find_alike(store).pairs == 0


def test_who_is_near_to_two_joins_them():
    middle = random_embeddings(1)
    rows = np.concatenate([near(middle, 0.99, 1), near(middle, 0.99, 2), middle])
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert unit[0] @ unit[1] < 0.985
    kept, people = merge_near(unit, ["a", "b", "c"], 0.985)
    assert (kept.tolist(), people) == ([0, 1, 2], ["a", "a", "a"])


def test_who_is_merged_across_splits_is_refused():
    first = random_embeddings(1)
    rows = np.concatenate([first, near(first, 0.99)])
    with pytest.raises(StoreError) as caught:
        FaceStore.build(rows, ["a", "b"], ABOUT, splits=["train", "test"], where="S", merge=0.98)
    assert str(caught.value) == (
        "S: row 1 (from 0) puts 'a' into the split 'test', an earlier row into 'train'; a person "
        "belongs to one split"
    )


def test_all_equal_rows_are_counted():
    rows = random_embeddings(4)[[0, 1, 0, 2, 1, 3]]
    with pytest.raises(StoreError) as caught:
        FaceStore.build(rows, list("abcdef"), ABOUT, where="S")
    assert str(caught.value) == (
        "S: row 0 and row 2 (from 0) hold the same embedding, and 1 more pair of rows; keep one of "
        "them, or let synthgen faces import --merge-near 0.98 do so"
    )


def test_what_was_not_compared_is_said():
    store = store_with([0.99] * 3)
    found = find_alike(store, most=4)
    assert (found.pairs, found.only) == (1, 4)
    assert "1 pair of faces under different names among the first 4 rows have" in found.sentence("")
