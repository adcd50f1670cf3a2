"""Reference images in a store of people: kept where asked for, read one at a time."""

import pickle

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipelines.faceid.importing import import_store
from samplers.identities import read_store, write_store
from samplers.identities.reference import ReferenceImage, name_of
from samplers.identities.store import FaceStore
from synthgen.errors import StoreError
from tests.support.tiny_faces import ABOUT, make_store, random_embeddings


def pictures(count):
    return [ReferenceImage.of(f"picture {number}".encode() * 1000) for number in range(count)]


def store_of(people=20, faces=1):
    ids = [f"p{person}" for person in range(people) for _ in range(faces)]
    references = [one for one in pictures(people) for _ in range(faces)]
    for place in range(len(references)):
        references[place] = references[place] if place % faces == faces - 1 else None
    embeddings = random_embeddings(people * faces)
    return FaceStore.build(embeddings, ids, ABOUT, references=references)


def test_pictures_come_back_one_at_a_time(tmp_path):
    path = tmp_path / "people.parquet"
    store = store_of(20, faces=2)
    write_store(path, store)
    assert pq.ParquetFile(path).num_row_groups == 5
    again = read_store(path)
    assert [one and one.reference_id for one in again.references] == [
        one and one.reference_id for one in store.references
    ]
    assert again.reference("p13") == store.reference("p13")
    assert again.reference("p13").data == b"picture 13" * 1000
    assert again.reference_digest == store.reference_digest
    assert repr(again.reference("p0")) == f"ReferenceImage('{name_of(b'picture 0' * 1000)}')"


def test_pictures_travel_to_other_processes(tmp_path):
    write_store(tmp_path / "people.parquet", store_of(3))
    for store in (store_of(3), read_store(tmp_path / "people.parquet")):
        reference = pickle.loads(pickle.dumps(store)).reference("p1")
        assert reference == store.reference("p1")
        assert reference.data == b"picture 1" * 1000


def test_pictures_go_from_one_store_to_another(tmp_path):
    write_store(tmp_path / "people.parquet", store_of(20))
    imported = import_store(tmp_path / "people.parquet")
    write_store(tmp_path / "copy.parquet", imported)
    assert (tmp_path / "copy.parquet").read_bytes() == (tmp_path / "people.parquet").read_bytes()
    with pytest.raises(StoreError, match="cannot keep reference images"):
        write_store(tmp_path / "copy.safetensors", imported)


def test_a_store_without_pictures_is_written_and_read_as_before(tmp_path):
    path = tmp_path / "people.parquet"
    write_store(path, make_store(3))
    assert pq.ParquetFile(path).schema_arrow.names == ["identity_id", "embedding"]
    again = read_store(path)
    assert again.references is None
    assert again.reference("p0") is None
    assert again.fingerprint == make_store(3).fingerprint


def test_pictures_do_not_change_who_the_people_are():
    embeddings = random_embeddings(2)
    ids = ["a", "b"]
    plain = FaceStore.build(embeddings, ids, ABOUT)
    one, other = pictures(2)
    kept = FaceStore.build(embeddings, ids, ABOUT, references=[one, other])
    changed = FaceStore.build(embeddings, ids, ABOUT, references=[one, one])
    assert plain.fingerprint == kept.fingerprint == changed.fingerprint
    assert len({plain.reference_digest, kept.reference_digest, changed.reference_digest}) == 3


def test_people_who_are_merged_keep_the_first_picture():
    embeddings = random_embeddings(3)
    embeddings[2] = embeddings[0] + 0.001
    one, other = pictures(2)
    store = FaceStore.build(
        embeddings, ["a", "b", "c"], ABOUT, references=[one, None, other], merge=0.98
    )
    assert list(store.rows) == ["a", "b"]
    assert (store.reference("a"), store.reference("b")) == (one, None)


def test_a_changed_file_is_told(tmp_path):
    path = tmp_path / "people.parquet"
    write_store(path, store_of(3))
    reference = read_store(path).reference("p1")
    table = pq.read_table(path)
    place = table.column_names.index("reference")
    column = table.column(place).take([0, 2, 1])
    pq.write_table(table.set_column(place, "reference", column), path)
    with pytest.raises(StoreError) as caught:
        _ = reference.data
    assert str(caught.value) == (
        f"{path}: the reference image {reference.reference_id} is not what its name says; the file "
        "was changed: make it again with synthgen faces embed --keep-images"
    )


def test_a_name_that_is_none_is_refused(tmp_path):
    path = tmp_path / "people.parquet"
    write_store(path, store_of(3))
    table = pq.read_table(path)
    place = table.column_names.index("reference_id")
    names = table.column(place).to_pylist()
    table = table.set_column(place, "reference_id", [["../../etc", *names[1:]]])
    pq.write_table(table, path)
    with pytest.raises(StoreError) as caught:
        read_store(path)
    assert str(caught.value) == (
        f"{path}: row 0 (from 0) has the reference_id '../../etc'; it must be the first 16 "
        "hexadecimal digits of the picture's SHA-256"
    )


def test_safetensors_keep_no_pictures(tmp_path):
    with pytest.raises(StoreError) as caught:
        write_store(tmp_path / "people.safetensors", store_of(3))
    assert str(caught.value) == (
        f"{tmp_path}/people.safetensors cannot keep reference images; a store that does ends in "
        ".parquet"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_each_row_s_or_nobody_s():
    with pytest.raises(StoreError, match="2 embeddings and 1 references; there must be as many"):
        FaceStore.build(np.ones((2, 512)), ["a", "b"], ABOUT, references=pictures(1))
