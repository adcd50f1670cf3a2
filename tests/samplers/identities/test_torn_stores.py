"""Files that are torn, made to burst, or no files at all: one sentence each, and soon."""

import io
import json
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from safetensors.numpy import save_file

from pipelines.faceid.importing import import_store
from samplers.identities import write_store
from samplers.identities.store import read_store
from synthgen.errors import StoreError
from tests.support.tiny_faces import make_store, random_embeddings

ENDINGS = [".npy", ".npz", ".parquet", ".safetensors", ".pt"]


def valid(folder, ending):
    path = folder / f"whole{ending}"
    values = random_embeddings(3)
    match ending:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez_compressed(path, embeddings=values, names=np.array(["a", "b", "a"]))
        case ".pt":
            torch.save({"embeddings": torch.from_numpy(values), "labels": [1, 2, 1]}, path)
        case _:
            write_store(path, make_store(3, splits=["train", "test", "test"]))
    return path.read_bytes()


def refusal(path, **options):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError) as caught:
        import_store(path, embedder="toy", **options)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000, "kB of memory"
    return str(caught.value).replace(str(path), "STORE")


@pytest.mark.parametrize("ending", ENDINGS)
def test_only_store_errors_come_out_of_torn_files(tmp_path, ending):
    whole = valid(tmp_path, ending)
    path = tmp_path / f"torn{ending}"
    said = []

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def torn(data):
        content = bytearray(whole)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content)) | st.integers(0, 200))
            place = min(place, len(content) - 1)
            kind = data.draw(st.sampled_from(["set", "cut", "insert", "end"]))
            if kind == "set":
                content[place] = data.draw(st.integers(0, 255))
            elif kind == "insert":
                content[place:place] = data.draw(st.binary(max_size=8))
            else:
                del content[place : place + 5 if kind == "cut" else None]
            content = content or bytearray(b"-")
        path.write_bytes(content)
        try:
            import_store(path, embedder="sha256:toy")
        except StoreError as error:
            said.append(str(error))

    torn()
    assert len(said) > 10
    assert max(map(len, said)) < 1000


def test_an_npz_that_would_burst_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("embeddings.npy", "w") as member:
            head = {"descr": "<f4", "fortran_order": False, "shape": (100_000, 512)}
            npy.write_array_header_1_0(member, head)
            for _ in range(100):
                member.write(bytes(1000 * 2048))
        stored = file.getinfo("embeddings.npy").compress_size
    assert refusal(path) == (
        f"STORE: 'embeddings.npy' holds {stored:,} bytes that would become 204,800,128; embeddings "
        "cannot be packed to less than a twentieth, and at most 8,589,934,592 bytes are read"
    )


def test_a_header_that_promises_too_much_is_not_believed(tmp_path):
    path = tmp_path / "huge.npy"
    buffer = io.BytesIO()
    head = {"descr": "<f4", "fortran_order": False, "shape": (10**12, 512)}
    npy.write_array_header_1_0(buffer, head)
    path.write_bytes(buffer.getvalue() + bytes(2048))
    assert refusal(path) == (
        "STORE is an array of shape [1000000000000, 512] and type float32, which takes "
        "2,048,000,000,000,000 bytes; the file holds 2,048"
    )
    with path.open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00" + (400 << 20).to_bytes(4, "little") + b"{" * 100)
        file.truncate(400 << 20)
    assert refusal(path).endswith("embeddings cannot be packed to less than a twentieth, and at "
                                  "most 8,589,934,592 bytes are read")  # fmt: skip
    path.write_bytes(b"\x93NUMPY\x02\x00" + (400 << 20).to_bytes(4, "little") + b"{" * 100)
    assert refusal(path) == (
        "STORE has a header of 419,430,400 bytes; an array of numbers has one of 10,000 at most"
    )


def test_a_table_that_would_burst_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.parquet"
    rows = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(512 * 100_000, np.float32)), 512)
    pq.write_table(pa.table({"embedding": rows}), path)
    assert path.stat().st_size < 100_000
    said = refusal(path)
    assert said.startswith("STORE: column 'embedding' holds ")
    assert said.endswith(
        " bytes that would become 204,800,000; embeddings cannot be packed to less than a "
        "twentieth, and at most 8,589,934,592 bytes are read"
    )
    folder = tmp_path / "dataset"
    folder.mkdir()
    path.rename(folder / "train.parquet")
    with pytest.raises(StoreError, match=r"column 'embedding' holds .* that would become"):
        read_store(folder, embedder="toy")


def test_a_text_of_megabytes_is_no_name(tmp_path):
    path = tmp_path / "long.parquet"
    table = {"embedding": random_embeddings(3).tolist(), "names": ["a", "b" * 1_000_000, "c"]}
    pq.write_table(pa.table(table), path)
    assert refusal(path) == (
        "STORE: column 'names' holds a text of 1,000,000 bytes; at most 10,000 are read"
    )
    np.savez(tmp_path / "l.npz", embeddings=random_embeddings(2), names=["a", "b" * 400])
    assert refusal(tmp_path / "l.npz") == (
        f"{tmp_path}/l.npz: row 1 (from 0) has the identity_id '{'b' * 59}…'; it must be text of "
        "at most 300 characters that UTF-8 can write"
    ).replace(str(tmp_path / "l.npz"), "STORE")
    np.savez(tmp_path / "s.npz", embeddings=random_embeddings(2), names=["a", "b\ud800"])
    assert refusal(tmp_path / "s.npz") == (
        "STORE: row 1 (from 0) has the identity_id 'b\\\\ud800'; it must be text of at most 300 "
        "characters that UTF-8 can write"
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_whole_numbers_are_no_embeddings(tmp_path, ending):
    path = tmp_path / f"whole{ending}"
    values = np.arange(2048, dtype=np.int64).reshape(4, 512)
    match ending:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, embeddings=values)
        case ".pt":
            torch.save(torch.from_numpy(values), path)
        case ".safetensors":
            save_file({"embeddings": values}, path)
        case ".parquet":
            pq.write_table(pa.table({"embedding": values.tolist()}), path)
    assert refusal(path) == (
        "STORE holds whole numbers (int64) where its embeddings should be; an embedding is "
        "floating-point numbers"
    )


def test_tensors_that_would_burst_are_not_made_dense(tmp_path):
    path = tmp_path / "faces.pt"
    torch.save(torch.zeros(1).expand(10**9, 512), path)
    assert refusal(path) == (
        "STORE holds 4 bytes that would become 2,048,000,000,000; embeddings cannot be packed to "
        "less than a twentieth, and at most 8,589,934,592 bytes are read"
    )
    place = torch.zeros(2, 1, dtype=torch.long)
    sparse = torch.sparse_coo_tensor(place, [1.0], (10**9, 512), check_invariants=True)
    torch.save({"embeddings": sparse}, path)
    assert refusal(path) == (
        "STORE: 'embeddings' is no plain tensor (sparse_coo, torch.float32, on cpu); save it "
        "dense, as floating-point numbers"
    )
    torch.save(torch.zeros(30_000, 512), tmp_path / "plain.pt")
    with (
        zipfile.ZipFile(tmp_path / "plain.pt") as plain,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name) * (4 if name.endswith("data/0") else 1))
    assert "would become 245,760,000; embeddings cannot be packed" in refusal(path)


@pytest.mark.parametrize("ending", [*ENDINGS, ".pkl"])
def test_a_pipe_is_not_waited_for(tmp_path, ending):
    path = tmp_path / f"pipe{ending}"
    os.mkfifo(path)
    assert refusal(path) == "the store STORE is a named pipe; it must be a regular file"


ODD = [
    np.float32(3),
    np.zeros((2, 0), np.float32),
    np.zeros((2, 0, 512), np.float32),
    np.zeros((0, 3, 512)),
    np.full((2, 512), 1e300),
    np.zeros(3, [("a", "f4")]),
]


@pytest.mark.parametrize("values", ODD)
@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_arrays_of_odd_shapes_are_refused(tmp_path, values, ending):
    path = tmp_path / f"odd{ending}"
    np.save(path, values) if ending == ".npy" else np.savez(path, embeddings=values)
    assert refusal(path).startswith("STORE")


@pytest.mark.parametrize("ending", [".parquet", ".safetensors"])
def test_only_store_errors_come_out_of_odd_metadata(tmp_path, ending):
    """What a store says about itself is foreign, too: any JSON, long, deep or not of UTF-8."""
    text = st.text(st.characters(codec=None) | st.sampled_from("\0\n\ud800"), max_size=5)
    lists = st.lists(text | st.none() | st.integers(), min_size=3, max_size=3)
    known = st.sampled_from(["identity_ids", "splits", "photos", "licence", "synthetic", "source"])
    values = st.dictionaries(known, text | lists | st.booleans(), max_size=4)
    about = {"embedder": "sha256:toy", "embedder_name": "toy"}
    rows, seen = random_embeddings(3), set()
    to = tmp_path / "written.parquet"

    @settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(values.map(lambda found: json.dumps({**about, **found})) | st.text(max_size=9))
    def odd(metadata):
        path = tmp_path / f"odd{ending}"
        metadata = metadata.encode("utf-8", "replace").decode()
        if ending == ".parquet":
            table = pa.table({"embedding": rows.tolist()})
            pq.write_table(table.replace_schema_metadata({"synthgen": metadata}), path)
        else:
            save_file({"embedding": rows}, path, {"synthgen": metadata})
        try:
            write_store(to, read_store(path))
            seen.add("written")
        except StoreError as error:
            seen.add(str(error))

    odd()
    assert "written" in seen
    assert len(seen) > 4
    assert max(map(len, seen)) < 1000


def test_long_words_of_a_file_are_cut_in_sentences(tmp_path):
    path = tmp_path / "long.safetensors"
    about = {"embedder": "e" * 5000, "embedder_name": "toy"}
    save_file({"embedding": random_embeddings(2)}, path, {"synthgen": json.dumps(about)})
    said = refusal(path)
    assert said.startswith("STORE: embedder in its metadata 'synthgen' is 'eeee")
    assert said.endswith("…; it must be text of at most 2,000 characters that UTF-8 can write")
    assert len(said) < 500
    deep = "[" * 100_000 + "]" * 100_000
    save_file({"embedding": random_embeddings(2)}, path, {"synthgen": deep})
    assert refusal(path) == "STORE: its metadata 'synthgen' is no JSON mapping"
    save_file({f"a{n}_embedding": random_embeddings(2) for n in range(90)}, path)
    assert len(refusal(path)) < 600


def test_a_path_that_no_file_can_have_is_refused():
    said = refusal(Path("a" * 5000 + ".npz"))
    assert said.startswith("a" * 299 + "… cannot be read: [Errno 36] File name too long: 'aaaa")
    assert len(said) < 700
    with pytest.raises(StoreError, match="does not exist"):
        read_store("a\0b.npz", embedder="toy")


def test_a_folder_with_a_pipe_is_not_waited_for(tmp_path):
    pq.write_table(pa.table({"embedding": random_embeddings(3).tolist()}), tmp_path / "a.parquet")
    os.mkfifo(tmp_path / "b.parquet")
    with pytest.raises(StoreError) as caught:
        read_store(tmp_path, embedder="toy")
    assert str(caught.value) == (
        f"the store {tmp_path}/b.parquet is a named pipe; it must be a regular file"
    )
