import pytest
from pydantic import ValidationError

from synthgen.config.output import OutputConfig


def test_the_hub_is_no_place_to_write_shards():
    with pytest.raises(ValidationError) as caught:
        OutputConfig(path="hf://datasets/me/faces")
    (error,) = caught.value.errors()
    assert error["msg"] == (
        "Value error, hf://datasets/me/faces cannot be written shard by shard; choose a folder, "
        "s3:// or gs://, and push the finished dataset to the Hub"
    )


@pytest.mark.parametrize("path", ["out", "file:///data/out", "s3://bucket/out", "gs://bucket/out"])
def test_folders_and_object_stores_are_written(path):
    assert OutputConfig(path=path).path == path
