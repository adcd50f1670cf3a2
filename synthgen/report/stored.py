"""The configuration that is stored with a dataset."""

from dataclasses import replace

from synthgen.config import RunConfig
from synthgen.config.loading import parse_document
from synthgen.config.yaml_text import read_yaml_bytes
from synthgen.dataset import Storage, layout, read_record
from synthgen.dataset.run_record import lost_record, source_names
from synthgen.errors import ConfigError, DatasetError
from synthgen.foreign import first_line


def stored_config(storage: Storage) -> RunConfig:
    """Read the resolved configuration of a dataset, with the place where it lies as its output.

    Raises:
        DatasetError: if there is none, it cannot be read, or the dataset was merged from others.
    """
    if storage.exists(layout.RUN) and (record := read_record(storage)).sources:
        raise DatasetError(
            f"{storage.url} was merged and has no configuration of its own; look at what it was "
            f"merged from: {source_names(record)}"
        )
    if not storage.exists(layout.CONFIG):
        raise DatasetError(_lack(storage))
    where = f"{storage.url}/{layout.CONFIG}"
    try:
        document = read_yaml_bytes(storage.read(layout.CONFIG), where)
        config = parse_document(replace(document, data=of_today(document.data)), where)
    except ConfigError as error:
        raise DatasetError(
            f"the stored configuration cannot be read: {first_line(error)}; if it was damaged, "
            f"`{layout.repair_command(storage.url)}` writes it again from {layout.RUN}"
        ) from error
    output = config.output.model_copy(update={"path": storage.url})
    return config.model_copy(update={"output": output})


def of_today(data: object) -> object:
    """Say what a stored configuration leaves out: plain ids, those of earlier versions.

    The path is that of the day on which it was written: it counts for nothing, and earlier versions
    stored a password that it held.
    """
    if isinstance(data, dict) and isinstance(data.get("output"), dict):
        return {**data, "output": {"ids": "plain", **data["output"], "path": "."}}
    return data


def _lack(storage: Storage) -> str:
    if storage.exists(layout.RUN):
        return (
            f"the dataset in {storage.url} has lost {layout.CONFIG}; "
            f"`{layout.repair_command(storage.url)}` writes it again from {layout.RUN}"
        )
    return (
        lost_record(storage)
        or f"{storage.url} is not a synthgen dataset: it has no {layout.CONFIG}"
    )
