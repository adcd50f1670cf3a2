import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from samplers.identities.embeddings import StoreAbout
from samplers.identities.store import FaceStore, check_store_path, read_store, write_store
from synthgen.errors import StoreError
from tests.support.tiny_faces import ABOUT, make_store, random_embeddings


def refusal(path, **options):
    with pytest.raises(StoreError) as caught:
        read_store(path, embedder="toy", **options)
    return str(caught.value).replace(str(path), "STORE")


@pytest.mark.parametrize("ending", ["parquet", "safetensors"])
def test_a_written_store_is_read_back(tmp_path, ending):
    splits = ["train"] * 4 + ["test"] * 2
    store = FaceStore.build(
        random_embeddings(6), list("abcdef"), ABOUT, splits=splits, photos=[*"12345", None]
    )
    path = tmp_path / f"faces.{ending}"
    write_store(path, store)
    found = read_store(path)
    assert np.array_equal(found.embeddings, store.embeddings)
    assert (found.identity_ids, found.splits) == (store.identity_ids, store.splits)
    assert found.photos == store.photos
    assert found.about == ABOUT
    assert found.fingerprint == store.fingerprint
    assert [name.name for name in tmp_path.iterdir()] == [path.name]


def test_the_parquet_of_a_store_is_the_agreed_one(tmp_path):
    write_store(tmp_path / "s.parquet", make_store(2))
    schema = pq.read_schema(tmp_path / "s.parquet")
    assert schema.field("embedding").type == pa.list_(pa.float32(), 512)
    assert schema.field("identity_id").type == pa.string()
    assert json.loads(schema.metadata[b"synthgen"]) == {
        "embedder": "sha256:toy",
        "embedder_name": "toy",
        "licence": "cc0",
        "synthetic": False,
        "source": "made up",
    }


def test_embeddings_are_normalised():
    lengths = np.linalg.norm(make_store(5).embeddings, axis=1)
    assert np.allclose(lengths, 1, atol=1e-6)


def test_rows_of_one_name_are_faces_of_a_person():
    store = make_store(3, faces=2)
    assert len(store) == 3
    assert store.face("p1").embeddings.shape == (2, 512)
    assert np.array_equal(store.face("p1").embeddings, store.embeddings[2:4])
    assert np.linalg.norm(store.face("p1").mean) == pytest.approx(1, abs=1e-6)
    assert store.face("p1") == store.face("p1") != store.face("p2")


def _write(path, values):
    match path.suffix:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, embeddings=values, identity_ids=np.array(list("abc")))
        case ".safetensors":
            save_file({"people": values}, path)
        case ".parquet":
            pq.write_table(pa.table({"people": values.tolist()}), path)
    return path


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet"])
def test_every_kind_of_file_holds_the_same_people(tmp_path, ending):
    values = random_embeddings(3)
    store = read_store(_write(tmp_path / f"faces.{ending}", values), embedder="toy")
    assert np.array_equal(store.embeddings, FaceStore.build(values, "abc", ABOUT).embeddings)
    assert store.about == StoreAbout(embedder="toy", embedder_name="toy")
    if ending == "npz":
        assert store.identity_ids == ("a", "b", "c")
    else:
        assert store.identity_ids == ("face-00000000", "face-00000001", "face-00000002")


def test_an_array_of_three_axes_holds_faces_of_people(tmp_path):
    np.save(tmp_path / "faces.npy", random_embeddings(6).reshape(3, 2, 512))
    store = read_store(tmp_path / "faces.npy", embedder="toy")
    assert len(store) == 3
    assert store.face("face-00000002").embeddings.shape == (2, 512)


def test_a_dataset_gives_its_column_and_its_splits(tmp_path):
    datasets = pytest.importorskip("datasets")
    values = random_embeddings(5)
    parts = {
        "train": {"faceid_embedding": values[:3].tolist(), "identity_id": list("abc")},
        "test": {"faceid_embedding": values[3:].tolist(), "identity_id": list("de")},
    }
    made = {name: datasets.Dataset.from_dict(part) for name, part in parts.items()}
    datasets.DatasetDict(made).save_to_disk(tmp_path / "saved")
    store = read_store(tmp_path / "saved", embedder="toy")
    assert store.identity_ids == tuple("abcde")
    assert store.splits == ("train",) * 3 + ("test",) * 2
    assert np.array_equal(store.embeddings, FaceStore.build(values, "abcde", ABOUT).embeddings)


def test_rows_that_name_the_one_split_of_their_dataset_part_nobody(tmp_path):
    datasets = pytest.importorskip("datasets")
    values = random_embeddings(5)
    parts = {
        "train": {"embedding": values[:3].tolist(), "identity_id": list("abc")},
        "test": {"embedding": values[3:].tolist(), "identity_id": list("de")},
    }
    made = {
        split: datasets.Dataset.from_dict({**part, "split": [split] * len(part["identity_id"])})
        for split, part in parts.items()
    }
    datasets.DatasetDict(made).save_to_disk(tmp_path / "two")
    assert read_store(tmp_path / "two", embedder="toy").splits == ("train",) * 3 + ("test",) * 2
    datasets.DatasetDict(train=made["train"]).save_to_disk(tmp_path / "one")
    assert read_store(tmp_path / "one", embedder="toy").splits is None


def test_a_folder_of_files_is_a_dataset_and_an_empty_one_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder, empty = tmp_path / "files", tmp_path / "empty"
    folder.mkdir()
    empty.mkdir()
    pq.write_table(pa.table({"face": random_embeddings(3).tolist()}), folder / "a.parquet")
    assert len(read_store(folder, embedder="toy")) == 3
    assert refusal(empty).startswith("STORE cannot be read as a dataset: ")


def _changed(row, place, value):
    values = random_embeddings(3)
    values[row, place] = value
    return values


FAULTS = [
    (_changed(1, 7, np.nan), "STORE: row 1 (from 0) holds nan at place 7; every number must be "
     "finite"),
    (_changed(2, 0, np.inf), "STORE: row 2 (from 0) holds inf at place 0; every number must be "
     "finite"),
    (_changed(1, slice(None), 0), "STORE: row 1 (from 0) is all zeros; an embedding needs a "
     "direction"),
    (random_embeddings(3, width=511), "STORE: row 0 (from 0) has 511 numbers; a FaceID embedding "
     "has 512"),
    (_changed(2, slice(None), 3 * random_embeddings(3)[0]), "STORE: row 0 and row 2 (from 0) hold "
     "the same embedding; keep one of them, or let synthgen faces import --merge-near 0.98 do so"),
]  # fmt: skip


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet"])
@pytest.mark.parametrize(("values", "sentence"), FAULTS)
def test_bad_rows_are_refused_by_file_and_row(tmp_path, ending, values, sentence):
    assert refusal(_write(tmp_path / f"bad.{ending}", values)) == sentence


def test_bad_faces_of_people_are_named_by_row_and_face(tmp_path):
    values = random_embeddings(6).reshape(3, 2, 512)
    values[2, 1, 5] = np.nan
    np.save(tmp_path / "bad.npy", values)
    assert refusal(tmp_path / "bad.npy") == (
        "STORE: row 2, face 1 (from 0) holds nan at place 5; every number must be finite"
    )


def test_rows_of_different_widths_are_refused_by_row(tmp_path):
    rows = random_embeddings(3).tolist()
    pq.write_table(pa.table({"embedding": [*rows, [1.0] * 128]}), tmp_path / "w.parquet")
    assert refusal(tmp_path / "w.parquet") == (
        "STORE: row 3 (from 0) has 128 numbers; a FaceID embedding has 512"
    )
    pq.write_table(pa.table({"embedding": [*rows, None]}), tmp_path / "n.parquet")
    assert refusal(tmp_path / "n.parquet") == (
        "STORE: row 3 (from 0) is empty in column 'embedding'"
    )
    pq.write_table(pa.table({"embedding": ["a", "b"]}), tmp_path / "t.parquet")
    assert refusal(tmp_path / "t.parquet") == (
        "STORE: column 'embedding' holds string; it must hold lists of 512 numbers"
    )


def test_a_person_belongs_to_one_split(tmp_path):
    table = {
        "embedding": random_embeddings(3).tolist(),
        "identity_id": ["ada", "bob", "ada"],
        "split": ["train", "train", "test"],
    }
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    assert refusal(tmp_path / "s.parquet") == (
        "STORE: row 2 (from 0) puts 'ada' into the split 'test', an earlier row into 'train'; a "
        "person belongs to one split"
    )


def test_pickles_are_never_opened(tmp_path):
    (tmp_path / "faces.pt").write_bytes(b"anything")
    assert refusal(tmp_path / "faces.pt") == (
        "STORE is a pickle, which can hold more than numbers; make a store of it first: "
        "synthgen faces import STORE --to faces.safetensors"
    )
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert refusal(tmp_path / "objects.npy").startswith("STORE cannot be read: Object arrays")


def test_files_that_are_no_store_are_refused(tmp_path):
    assert refusal(tmp_path / "none.parquet") == (
        "STORE does not exist; a store is a file that ends in .parquet, .safetensors, .npy, .npz, "
        "or the folder of a dataset"
    )
    (tmp_path / "faces.csv").write_text("1,2")
    assert refusal(tmp_path / "faces.csv").startswith("STORE is not a kind of store; a store is")
    for ending in ("parquet", "safetensors", "npy", "npz"):
        (tmp_path / f"broken.{ending}").write_bytes(b"no such thing")
        assert refusal(tmp_path / f"broken.{ending}").startswith("STORE cannot be read: ")
    np.save(tmp_path / "flat.npy", np.ones(512, dtype=np.float32))
    assert refusal(tmp_path / "flat.npy") == (
        "STORE holds an array of shape [512] and type float32; it must be numbers of shape "
        "[people, 512] or [people, faces, 512]"
    )
    np.save(tmp_path / "empty.npy", np.ones((0, 512), dtype=np.float32))
    assert refusal(tmp_path / "empty.npy") == "STORE holds no embedding"


def test_a_column_is_chosen_or_named(tmp_path):
    values = random_embeddings(2)
    save_file({"clip": values, "vec": values + 1}, tmp_path / "two.safetensors")
    assert refusal(tmp_path / "two.safetensors") == (
        "STORE has no 'embedding'; name one of clip, vec (identities.column in a configuration, "
        "--column on the command line)"
    )
    assert refusal(tmp_path / "two.safetensors", column="c") == "STORE has no 'c'; it has clip, vec"
    assert len(read_store(tmp_path / "two.safetensors", column="vec", embedder="toy")) == 2


def test_the_embedder_is_known_and_the_same(tmp_path):
    np.save(tmp_path / "faces.npy", random_embeddings(2))
    with pytest.raises(StoreError) as caught:
        read_store(tmp_path / "faces.npy")
    assert str(caught.value) == (
        f"{tmp_path}/faces.npy does not say which recogniser made its embeddings; name it "
        "(identities.embedder in a configuration, --embedder on the command line)"
    )
    write_store(tmp_path / "faces.parquet", make_store(2))
    assert refusal(tmp_path / "faces.parquet") == (
        "STORE holds embeddings of 'sha256:toy' (toy), not of 'toy'; embeddings of two recognisers "
        "mean different things"
    )


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ("[", "STORE: its metadata 'synthgen' is no JSON mapping"),
        ("{}", "STORE: its metadata 'synthgen' lacks embedder"),
        ('{"embedder": 3}', "STORE: embedder in its metadata 'synthgen' is 3; it must be text"),
        (
            '{"embedder": "toy", "embedder_name": "b", "identity_ids": ["x"]}',
            "STORE holds 2 embeddings and 1 identity_ids; there must be as many",
        ),
    ],
)
def test_bad_metadata_is_refused(tmp_path, metadata, sentence):
    path = tmp_path / "faces.safetensors"
    save_file({"embedding": random_embeddings(2)}, path, {"synthgen": metadata})
    assert refusal(path) == sentence


def test_a_store_is_written_under_known_endings_only(tmp_path):
    with pytest.raises(StoreError) as caught:
        write_store(tmp_path / "faces.npy", make_store(2))
    assert str(caught.value) == (
        f"{tmp_path}/faces.npy cannot be written; a store ends in .parquet or .safetensors"
    )


def test_a_store_that_cannot_be_written_is_refused_before_it_is_made(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.parquet").mkdir()
    for name, fault in {
        "folder.parquet": "it is a folder",
        "file/deep/faces.parquet": f"{tmp_path}/file is no folder that can be written to",
    }.items():
        with pytest.raises(StoreError) as caught:
            check_store_path(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name} cannot be written: {fault}"
    with pytest.raises(StoreError) as caught:
        check_store_path(Path("Andr\udce9/faces.parquet"))
    assert str(caught.value) == (
        "Andr\\udce9/faces.parquet cannot be written: its name is not UTF-8 or too long"
    )
    check_store_path(tmp_path / "new" / "deep" / "faces.parquet")
    assert not (tmp_path / "new").exists()


def test_splits_of_arrays_are_texts(tmp_path):
    values, path = random_embeddings(3), tmp_path / "s.npz"
    wanted = ("train", "train", "test")
    for splits in (np.array(wanted), np.array(wanted, "S"), np.array(wanted)[:, None]):
        np.savez(path, embeddings=values, identity_ids=list("abc"), splits=splits)
        assert read_store(path, embedder="toy").splits == wanted
    for splits in (np.array(wanted, object), np.float32(3), np.ones((3, 2))):
        np.savez(path, embeddings=values, identity_ids=list("abc"), splits=splits)
        assert refusal(path) == (
            "STORE: 'splits' cannot name splits; it must hold one text or one whole number a row"
        )
