"""The record of a run: of what its data is a function, and with what it was made."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from samplers.plan import Plan
from synthgen import __version__
from synthgen.config import RunConfig
from synthgen.config.components import origin_of
from synthgen.dataset import RunRecord
from synthgen.dataset.schema import (
    FACE_COLUMNS,
    FACEID_EMBEDDING,
    FACEID_MEASURED,
    FORBIDDEN_SIMILARITY,
    IDENTITY_SIMILARITY,
    DatasetSchema,
)
from synthgen.revision import git_revision

_PARTS = ("pipeline", "verifier", "identity", "components")
"""Parts of a worker: each has weights, licences and versions of its own."""

_COMPUTING = ("numpy", "pillow", "pyarrow", "scipy", "torch")
"""Packages on whose version every run's bytes depend; a pipeline's own are in its fingerprint."""


def make_record(config: RunConfig, plan: Plan, fingerprint: Mapping[str, Any]) -> RunRecord:
    """Build the record of a run from its configuration and its worker's fingerprint."""
    parts = [fingerprint[name] for name in _PARTS if fingerprint[name]]
    versions = {name: metadata.version(name) for name in _COMPUTING}
    files = {name: fingerprint[name] for name in ("labels", "stores") if fingerprint[name]}
    return RunRecord(
        identity={
            "configuration": config.identity(),
            "weights": _merged(parts, "weights"),
            "versions": dict(sorted((versions | _merged(parts, "versions")).items())),
            **files,
        },
        samples=config.samples,
        schema=dataset_schema(config, plan),
        synthgen_version=__version__,
        git_revision=git_revision(),
        licences={**_merged(parts, "licences"), **fingerprint["licences"]},
        hardware=(fingerprint["hardware"],),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def components_fingerprint(config: RunConfig) -> dict[str, Any]:
    """Return the distributions of components that are not ours; empty where there are none.

    Keys are those of `ImageSource.fingerprint`; a distribution that names no licence has
    "not stated".
    """
    found = [origin_of(type(component)) for component in config.components()]
    origins = [origin for origin in found if origin is not None]
    if not origins:
        return {}
    return {
        "weights": {},
        "versions": {origin.name: origin.version for origin in origins},
        "licences": {origin.name: origin.licence or "not stated" for origin in origins},
    }


def dataset_schema(config: RunConfig, plan: Plan) -> DatasetSchema:
    """Return what the columns of a run's dataset depend on."""
    return DatasetSchema(
        plan.categories,
        plan.slots,
        config.output.image_format,
        _face_columns(config),
        aus=plan.action_units.names,
    )


def _face_columns(config: RunConfig) -> tuple[str, ...]:
    check, given = config.verify.identity, "faceid" in config.identities.gives
    there = {
        FACEID_EMBEDDING: given,
        FACEID_MEASURED: check is not None,
        IDENTITY_SIMILARITY: given and check is not None,
        FORBIDDEN_SIMILARITY: check is not None and check.forbidden is not None,
    }
    return tuple(name for name in FACE_COLUMNS if there[name])


def _merged(parts: Sequence[Mapping[str, Any]], key: str) -> dict[str, str]:
    return {name: value for part in parts for name, value in part[key].items()}
