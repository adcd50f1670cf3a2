"""The record of a run: of what its data is a function, and with what it was made."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from samplers.plan import Plan
from synthgen import __version__
from synthgen.config import RunConfig
from synthgen.dataset import RunRecord
from synthgen.revision import git_revision
from synthgen.schema import DatasetSchema

_COMPUTING = ("numpy", "pillow", "pyarrow", "scipy", "torch")
"""Packages on whose version every run's bytes depend; a pipeline's own are in its fingerprint."""


def make_record(config: RunConfig, plan: Plan, fingerprint: Mapping[str, Any]) -> RunRecord:
    """Build the record of a run from its configuration and its worker's fingerprint."""
    parts = (fingerprint["pipeline"], fingerprint["verifier"])
    versions = {name: metadata.version(name) for name in _COMPUTING}
    labels = {"labels": fingerprint["labels"]} if fingerprint["labels"] else {}
    return RunRecord(
        identity={
            "configuration": config.identity(),
            "weights": _merged(parts, "weights"),
            "versions": dict(sorted((versions | _merged(parts, "versions")).items())),
            **labels,
        },
        samples=config.samples,
        schema=dataset_schema(config, plan),
        synthgen_version=__version__,
        git_revision=git_revision(),
        licences=_merged(parts, "licences"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def dataset_schema(config: RunConfig, plan: Plan) -> DatasetSchema:
    """Return what the columns of a run's dataset depend on."""
    return DatasetSchema(plan.categories, plan.slots, config.output.image_format)


def _merged(parts: tuple[Mapping[str, Any], ...], key: str) -> dict[str, str]:
    return {name: value for part in parts for name, value in part[key].items()}
