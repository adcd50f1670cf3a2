"""A run's own dataset as a source of people and of their reference images."""

import io

import numpy as np
import pytest
from PIL import Image
from tiny_dataset import CONFIG, HAPPY, PLAN, SCHEMA, make_record, make_result, make_row
from tiny_face_embedder import face_embedder, portrait
from typer.testing import CliRunner

from pipelines.faceid.dataset_people import embed_dataset, is_dataset
from pipelines.faceid.photographs import Quality
from pipelines.faceid.references import aligned_face
from pipelines.procedural.geometry import EYE_LEFT, EYE_RIGHT, MOUTH
from samplers.identities.store import read_store
from synthgen.cli.commands import app
from synthgen.dataset import Storage, commit_shard, open_run, write_card
from synthgen.errors import ConfigError, StoreError

runner = CliRunner()
EVERYTHING = Quality(0.0, 0.0, 0.0)
NEUTRAL = (0.0,) * 12


def row(index, person, seed, **changes):
    buffer = io.BytesIO()
    portrait(seed).save(buffer, "PNG")
    return make_row(index, identity_id=person, image=buffer.getvalue(), **changes)


def dataset(folder, train, later, test):
    """Write a dataset of three shards."""
    storage = Storage(str(folder))
    open_run(storage, make_record(8), CONFIG, PLAN)
    for shard, rows in zip(PLAN, (train, later, test), strict=True):
        missing = shard.stop - shard.start - len(rows)
        result = make_result(shard, missing=missing, rows=rows)
        commit_shard(storage, SCHEMA, result)
    write_card(storage)
    return folder


@pytest.fixture
def made(tmp_path):
    return dataset(
        tmp_path / "made",
        [
            row(0, "anna@00000001", 1, active_error=0.1),
            row(1, "anna@00000001", 2, aus=NEUTRAL, active_error=None, inactive_max=0.8),
            row(2, "ben@00000002", 3, active_error=0.6),
            row(3, "ben@00000002", 4, active_error=0.2),
        ],
        [
            row(4, "anna@00000001", 5, aus=NEUTRAL, active_error=None, inactive_max=0.3),
            row(5, "ben@00000002", 6, active_error=0.05, accepted=False),
        ],
        [row(1000, "cleo@00000003", 7, active_error=1.0, aus=HAPPY)],
    )


def test_each_identity_is_its_neutral_image_or_that_of_the_least_error(made, tmp_path):
    embedder = face_embedder(tmp_path)
    store, left = embed_dataset(made, embedder, EVERYTHING, keep_images=True)
    assert left == []
    assert dict(zip(store.identity_ids, store.photos, strict=True)) == {
        "anna@00000001": "sample-00000004",
        "ben@00000002": "sample-00000003",
        "cleo@00000003": "sample-00001000",
    }
    assert store.split_of("cleo@00000003") == "test"
    assert store.split_of("anna@00000001") == "train"
    alone = embedder.embed([portrait(5)])
    anna = store.identity_ids.index("anna@00000001")
    np.testing.assert_array_equal(store.embeddings[anna], alone.embeddings[0])
    kept = np.asarray(Image.open(io.BytesIO(store.reference("anna@00000001").data)))
    points = 128 * np.array([EYE_LEFT, EYE_RIGHT, MOUTH])
    expected = np.asarray(aligned_face(portrait(5), points))
    assert np.abs(kept.astype(int) - expected).max() <= 1
    assert store.face("anna@00000001").qualified_id == "anna@00000001"
    assert (store.about.licence, store.about.source) == (
        "CC0-1.0; Apache-2.0",
        "3 images of the dataset tiny",
    )
    plain, _ = embed_dataset(made, embedder, EVERYTHING)
    assert plain.references is None
    assert plain.fingerprint == store.fingerprint


def test_where_the_best_image_is_not_good_enough_the_next_one_is_taken(tmp_path):
    rows = [
        make_row(0, identity_id="anna", image=_grey(), active_error=0.1),
        row(1, "anna", 2, active_error=0.5),
    ]
    folder = dataset(tmp_path / "made", rows, [], [])
    store, left = embed_dataset(folder, face_embedder(tmp_path), Quality(0.0, 0.0, 30.0))
    assert store.photos == ("sample-00000001",)
    assert [(one.name, one.reason) for one in left] == [
        ("sample-00000000", "the face is blurred: sharpness 0.0, at least 30")
    ]


def _grey():
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), "gray").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_dataset_without_a_good_image_is_refused(tmp_path):
    folder = dataset(tmp_path / "made", [make_row(0, image=_grey())], [], [])
    with pytest.raises(StoreError) as caught:
        embed_dataset(folder, face_embedder(tmp_path), Quality(0.0, 0.0, 30.0))
    assert str(caught.value) == (
        f"none of the images in {folder} can be taken; the first, sample-00000000: the face is "
        "blurred: sharpness 0.0, at least 30"
    )
    folder = dataset(tmp_path / "other", [row(0, "anna", 1, accepted=False)], [], [])
    with pytest.raises(StoreError) as caught:
        embed_dataset(folder, face_embedder(tmp_path), EVERYTHING)
    assert str(caught.value) == (f"none of the images in {folder} can be taken; none is accepted")


def test_the_command_takes_a_dataset(made, tmp_path):
    face_embedder(tmp_path)
    to, weights = tmp_path / "store.parquet", tmp_path / "tiny.safetensors"
    words = ["faces", "embed", str(made), "--embedder", "mini", "--model", str(weights)]
    words += ["--keep-images", "--min-sharpness", "0", "--to", str(to)]
    assert is_dataset(made)
    done = runner.invoke(app, words, catch_exceptions=False)
    assert done.stdout == (
        f"{to}: 3 people in 3 of 3 images; a reference image of each; licence: CC0-1.0; "
        "Apache-2.0\n"
    )
    store = read_store(to)
    assert sorted(store.rows) == ["anna@00000001", "ben@00000002", "cleo@00000003"]
    assert all(store.references)
    with pytest.raises(ConfigError) as caught:
        runner.invoke(app, [*words, "--one-face-each"], catch_exceptions=False)
    assert str(caught.value) == f"--one-face-each is for photographs; {made} names its people"
