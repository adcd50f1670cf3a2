import io
from dataclasses import replace

import pandas
import pytest
from PIL import Image
from tiny_dataset import COLUMNS, CONFIG, HAPPY, PLAN, make_dataset, make_record, make_result

from synthgen import to_pandas
from synthgen.action_units import AUS
from synthgen.dataset import Storage, commit_shard, open_run
from synthgen.dataset.labels import BASIC, au_column
from synthgen.dataset.schema import DatasetSchema
from synthgen.errors import DatasetError


def _commit(folder, schema, plan=PLAN, **changes):
    storage = Storage(str(folder))
    open_run(storage, replace(make_record(), schema=schema), CONFIG, plan)
    for shard in plan:
        commit_shard(storage, schema, make_result(shard))
    return str(folder)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("au_columns", [False, True])
def test_a_table_says_everything_by_name(tmp_path, version, au_columns):
    categories = BASIC if version == 2 else ("sad", "happy")
    schema = DatasetSchema(
        categories, ("age", "hair"), "png", COLUMNS, au_columns=au_columns, data_version=version
    )
    table = to_pandas(_commit(tmp_path, schema))
    assert list(table["split"]) == ["train"] * 6 + ["test"] * 2
    assert set(table["emotion_name"]) == {"happy"}
    assert table["emotion"].dtype == "Int64"
    assert table["accepted"].all()
    for au, asked in zip(AUS, HAPPY, strict=True):
        assert (table[au_column(au)] == asked).all()
        assert (table[au_column(au, measured=True)] == asked / 2).all()
    assert set(table["identity.hair"]) == {"red"}
    assert not {"image", "aus", "aus_measured", "identity"} & set(table)


def test_images_are_files_and_a_run_without_shards_is_an_empty_table(tmp_path):
    make_dataset(str(tmp_path / "some"))
    table = to_pandas(str(tmp_path / "some"), images=True)
    assert Image.open(io.BytesIO(table["image"][0])).size == (8, 8)
    schema = DatasetSchema(("merry",), (), "png", expressions=True, levels=True)
    table = to_pandas(_commit(tmp_path / "none", schema, plan=()))
    assert (len(table), list(table)[:3]) == (0, ["sample_id", "split", "AU01"])
    assert {"expression", "level"} < set(table)
    assert "AU01_measured" not in table
    assert isinstance(table, pandas.DataFrame)


def test_a_folder_that_is_no_dataset_is_told(tmp_path):
    with pytest.raises(DatasetError) as caught:
        to_pandas(str(tmp_path))
    assert str(caught.value) == (
        f"there is no synthgen dataset in {tmp_path}: no .synthgen/run.json"
    )
