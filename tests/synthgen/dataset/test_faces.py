"""Columns of face embeddings, and what a card tells from them."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from tiny_dataset import (
    CONFIG,
    HAPPY,
    PLAN,
    SCHEMA,
    make_record,
    make_reject,
    make_result,
    make_row,
)

from synthgen.dataset import (
    Storage,
    commit_shard,
    describe_inspection,
    inspect_dataset,
    open_run,
    read_record,
    read_statistics,
)
from synthgen.dataset.card import write_card
from synthgen.dataset.schema import columns_of_earlier_versions

FACE_COLUMNS = (
    "faceid_embedding",
    "faceid_measured",
    "identity_similarity",
    "forbidden_similarity",
)
FACES = replace(SCHEMA, columns=columns_of_earlier_versions(FACE_COLUMNS))


def direction(place, lean=0.0):
    """Return a unit embedding along an axis, leaning towards the next."""
    values = np.zeros(512, np.float32)
    values[place], values[place + 1] = np.sqrt(1 - lean**2), lean
    return tuple(values.tolist())


@pytest.fixture
def storage(tmp_path):
    """Two identities of two images, a fifth image of a third, and one without a face."""
    storage = Storage(str(tmp_path / "data"))
    open_run(storage, replace(make_record(), schema=FACES), CONFIG, PLAN)
    shown = [("a", 0, 0.0), ("a", 0, 0.6), ("b", 4, 0.0), ("b", 4, 0.8), ("c", 8, 0.0)]
    rows = [
        make_row(
            number,
            identity_id=person,
            faceid_embedding=direction(place),
            faceid_measured=direction(place, lean),
            identity_similarity=float(np.sqrt(1 - lean**2)),
            forbidden_similarity=0.1 * number,
        )
        for number, (person, place, lean) in enumerate(shown)
    ]
    rows.append(make_row(5, identity_id="d", faceid_embedding=direction(20)))
    rejects = [make_reject(0, reason="identity", aus_measured=HAPPY, identity_similarity=0.2)]
    parts = {PLAN[0]: rows[:4], PLAN[1]: rows[4:]}
    for shard in PLAN:
        changes = {"rows": parts[shard], "rejects": rejects} if shard in parts else {}
        commit_shard(storage, FACES, make_result(shard, **changes))
    write_card(storage)
    return storage


def test_the_columns_are_read_back(storage, tmp_path):
    dataset = load_dataset(storage.url, cache_dir=str(tmp_path / "cache"))
    row = dataset["train"][1]
    assert row["faceid_embedding"] == list(direction(0))
    assert row["faceid_measured"] == pytest.approx(list(direction(0, 0.6)))
    assert row["identity_similarity"] == pytest.approx(0.8)
    assert row["forbidden_similarity"] == pytest.approx(0.1)
    assert dataset["train"][5]["faceid_measured"] == [None] * 512
    assert dataset["train"].features["faceid_measured"].length == 512
    rejects = load_dataset(storage.url, "rejects", cache_dir=str(tmp_path / "cache"))["train"]
    assert rejects[0]["identity_similarity"] == pytest.approx(0.2)
    assert "faceid_measured" not in rejects.column_names


def test_consistency_rank_1_and_the_nearest_of_the_forbidden(storage):
    faces = read_statistics(storage).faces
    assert faces is not None
    assert faces.consistency == pytest.approx((0.8 + 0.6) / 2)
    assert faces.others == pytest.approx(0)
    assert faces.rank1 == 1.0
    assert faces.compared == 5
    assert faces.without_face == 3  # one row of ours and both of the other split
    assert faces.similarity == pytest.approx((1 + 0.8 + 1 + 0.6 + 1) / 5)
    assert faces.least_similarity == pytest.approx(0.6)
    assert faces.forbidden == pytest.approx(0.4)


def test_the_card_tells_of_them(storage):
    card = storage.read("README.md").decode()
    assert (
        "## Identities\n\nCosines of face embeddings; those of pairs are over the first 5" in card
    )
    assert "| two images of one identity, mean (consistency) | 0.700 |" in card
    assert "| image and anybody who must not appear, largest | 0.400 |" in card
    assert "For 100.0 % of them, the nearest other image shows the same identity (rank-1)." in card
    assert "Images passed over, with no face found in them: 3." in card


def test_an_inspection_says_it_in_a_line(storage):
    line = (
        "identities: similarity 0.880 to the person asked for, 0.700 within an identity, "
        "0.000 to others, 0.400 to the forbidden, at most, rank-1 100.0 %"
    )
    assert line in describe_inspection(inspect_dataset(storage.url)).splitlines()


def test_a_record_keeps_which_columns_there_are(storage):
    assert read_record(storage).schema == FACES


def test_without_embeddings_nothing_is_new(tmp_path):
    storage = Storage(str(tmp_path))
    open_run(storage, make_record(), CONFIG, PLAN)
    for shard in PLAN:
        commit_shard(storage, SCHEMA, make_result(shard))
    assert read_statistics(storage).faces is None
    file = next((tmp_path / "data").glob("*.parquet"))
    assert not set(FACE_COLUMNS) & set(pq.read_schema(file).names)


def test_a_dataset_whose_images_were_all_rejected_has_a_card(tmp_path):
    storage = Storage(str(tmp_path / "data"))
    open_run(storage, replace(make_record(), schema=FACES), CONFIG, PLAN)
    rejects = [make_reject(0, reason="identity", aus_measured=HAPPY, identity_similarity=0.2)]
    for shard in PLAN:
        samples = shard.stop - shard.start
        commit_shard(storage, FACES, make_result(shard, rejects=rejects, missing=samples))
    write_card(storage)
    assert read_statistics(storage).faces.compared == 0
    assert "## Identities" in storage.read("README.md").decode()
    assert describe_inspection(inspect_dataset(storage.url))
