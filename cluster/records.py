"""The record of a run: of what its data is a function, and with what it was made."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

from cluster.conditions import condition_columns
from pipelines.interfaces import ColumnOwner, ImageSource, Verifier
from samplers.plan import Plan
from samplers.priors.affect import NEUTRAL, POSITIONS
from synthgen import __version__
from synthgen.config import RunConfig
from synthgen.config.components import origin_of
from synthgen.dataset import RunRecord
from synthgen.dataset.labels import label_names
from synthgen.dataset.schema import (
    Column,
    DatasetSchema,
    check_columns,
    in_order,
)
from synthgen.errors import ConfigError
from synthgen.foreign import first_few
from synthgen.revision import git_revision

_COMPUTING = ("numpy", "pillow", "pyarrow", "scipy", "torch")
"""Packages on whose version every run's bytes depend; a pipeline's own are in its fingerprint."""


def make_record(config: RunConfig, plan: Plan, fingerprint: Mapping[str, Any]) -> RunRecord:
    """Build the record of a run from its configuration and its worker's fingerprint."""
    parts = [fingerprint["pipeline"], *fingerprint["checks"]]
    parts += [fingerprint["components"]] if fingerprint["components"] else []
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
        schema=dataset_schema(config, plan, fingerprint["columns"]),
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


def dataset_schema(config: RunConfig, plan: Plan, columns: Sequence[Column]) -> DatasetSchema:
    """Return the columns of a run's dataset; see `declared_columns`.

    Raises:
        ConfigError: if valence and arousal are asked for, and no category of the run has any.
    """
    if config.output.valence_arousal and not {NEUTRAL, *POSITIONS} & set(plan.categories):
        raise ConfigError(
            "output.valence_arousal is true, and no category of the run "
            f"({first_few(plan.categories, 5) or 'it has none'}) has a place in the map; those "
            f"that have: {', '.join((NEUTRAL, *POSITIONS))}"
        )
    return DatasetSchema(
        label_names(plan.categories),
        plan.slots,
        config.output.image_format,
        tuple(columns),
        aus=plan.action_units.names,
        asked=plan.categories,
        expressions=bool(plan.expressions),
        levels=plan.has_levels,
        au_columns=config.output.au_columns,
    )


def declared_columns(
    config: RunConfig, checks: Sequence[Verifier], source: ImageSource | None = None
) -> tuple[Column, ...]:
    """Return the columns that the components of a run declare, in their order in a dataset.

    Args:
        config: the run.
        checks: its checks.
        source: its image source; None: one that declares none.

    Raises:
        ConfigError: if two declare one column, or a column cannot be written.
    """
    given = config.identities.given() | config.expressions.given()
    found = condition_columns(given, config.output)
    if source is not None:
        found += _columns_of(source, config.pipeline.name, by_pipeline=True)
    for check in checks:
        found += _columns_of(check, check.name)
    check_columns(found)
    return in_order(found)


def _columns_of(owner: ColumnOwner, name: str, *, by_pipeline: bool = False) -> list[Column]:
    texts = owner.descriptions
    return [
        Column(
            column,
            dict(feature),
            name,
            column not in owner.only_in_data,
            texts.get(column, ""),
            by_pipeline,
        )
        for column, feature in owner.columns.items()
    ]


def _merged(parts: Sequence[Mapping[str, Any]], key: str) -> dict[str, str]:
    return {name: value for part in parts for name, value in part[key].items()}
