import io
from dataclasses import replace

import datasets
import pyarrow.parquet as pq
import pytest
from tiny_dataset import COLUMNS, SCHEMA, make_row

from synthgen.action_units import AUS
from synthgen.dataset.parquet import encode_rows
from synthgen.dataset.schema import (
    DatasetSchema,
    arrow_schema,
    card_features,
    data_features,
    leaf_columns,
    reject_features,
)

BARE = DatasetSchema((), (), "jpeg", COLUMNS)


@pytest.mark.parametrize("columns", [data_features, reject_features])
@pytest.mark.parametrize("schema", [SCHEMA, BARE])
def test_features_are_those_of_datasets(columns, schema):
    ours = arrow_schema(columns(schema))
    theirs = datasets.Features.from_arrow_schema(ours)
    assert theirs.arrow_schema.equals(ours, check_metadata=True)
    assert theirs._to_yaml_list() == card_features(columns(schema))


def test_columns_stand_in_the_order_of_the_design():
    tried = ["attempt", "replacement", "emotion", "emotion_name", "identity_id"]
    measured = ["aus", "aus_measured", "active_error", "inactive_max"]
    origin = ["prompt", "negative_prompt", "seed", "pipeline", "verifier"]
    data = ["sample_id", "split", "image", *measured, "accepted", *tried, "identity", *origin]
    rejects = ["sample_id", "split", "reason", "detail", *measured, *tried, *origin]
    assert list(data_features(SCHEMA)) == data
    assert list(reject_features(SCHEMA)) == rejects
    alone = [f"AU{au[2:]:0>2}{end}" for end in ("", "_measured") for au in AUS]
    wide = replace(SCHEMA, au_columns=True)
    assert list(data_features(wide))[7:31] == list(reject_features(wide))[8:32] == alone


def test_rows_of_the_first_data_version_have_no_text_beside_labels():
    earlier = replace(SCHEMA, data_version=1)
    for columns in (data_features, reject_features):
        lack = set(columns(SCHEMA)) - set(columns(earlier))
        assert lack == {"split", "emotion_name"}


def test_without_categories_or_slots_their_columns_are_absent():
    lack = set(data_features(SCHEMA)) - set(data_features(BARE))
    assert lack == {"emotion", "emotion_name", "identity"}


def test_types_are_those_of_the_design():
    features = datasets.Features.from_arrow_schema(arrow_schema(data_features(SCHEMA)))
    assert features["image"] == datasets.Image()
    assert features["aus"] == datasets.List(datasets.Value("float32"), length=12)
    assert features["aus_measured"] == features["aus"]
    assert features["emotion"] == datasets.ClassLabel(names=["neutral", "happy", "sad"])
    assert features["identity"] == {
        "age": datasets.Value("string"),
        "hair": datasets.Value("string"),
    }


def test_leaves_are_the_columns_of_the_parquet_file():
    schema = pq.ParquetFile(io.BytesIO(encode_rows(SCHEMA, [make_row(0)], "train"))).schema
    paths = [schema.column(number).path for number in range(len(schema))]
    assert leaf_columns(data_features(SCHEMA)) == paths
