"""The configuration that is stored with a dataset."""

from synthgen.config import RunConfig, parse_config
from synthgen.config.yaml_text import read_yaml
from synthgen.dataset import Storage, layout
from synthgen.errors import DatasetError


def stored_config(storage: Storage) -> RunConfig:
    """Read the resolved configuration of a dataset, with the place where it lies as its output.

    Raises:
        DatasetError: if there is none.
        ConfigError: if it cannot be read.
    """
    if not storage.exists(layout.CONFIG):
        raise DatasetError(f"{storage.url} is not a synthgen dataset: it has no {layout.CONFIG}")
    where = f"{storage.url}/{layout.CONFIG}"
    config = parse_config(_with_ids(read_yaml(storage.read(layout.CONFIG).decode())), where=where)
    output = config.output.model_copy(update={"path": storage.url})
    return config.model_copy(update={"output": output})


def _with_ids(data: object) -> object:
    """Say what a stored configuration leaves out: plain ids, those of earlier versions."""
    if isinstance(data, dict) and isinstance(data.get("output"), dict):
        return {**data, "output": {"ids": "plain", **data["output"]}}
    return data
