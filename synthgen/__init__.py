"""Synthetic facial-expression datasets from FACS Action Units.

The names below load their module when they are first used; `import synthgen` loads neither torch
nor Ray. `__init__.pyi` tells them to type checkers: modules further down import this one, and
importing upwards from here would close a circle.
"""

from synthgen.installation import check_own_packages
from synthgen.lazy import lazily

__version__ = "0.1.0"

_HOMES = {
    "AUS": "synthgen.action_units",
    "FineFaceIPAdapterPipeline": "pipelines.fineface",
    "FineFacePipeline": "pipelines.fineface",
    "LibreFaceVerifier": "pipelines.libreface",
    "RunConfig": "synthgen.config",
    "SynthgenError": "synthgen.errors",
    "au_vector": "synthgen.action_units",
    "dump_config": "synthgen.config",
    "generate": "cluster.driver",
    "inspect": "synthgen.dataset:inspect_dataset",
    "load_config": "synthgen.config",
    "load_prior": "samplers.priors",
    "make_flame_bank": "synthgen.report.flame_bank",
    "measure": "synthgen.report.measuring",
    "parse_config": "synthgen.config",
    "plan": "samplers.plan:build_plan",
    "preview": "synthgen.report.pictures:write_preview",
    "reproduce": "synthgen.report.reproduction",
    "status": "synthgen.report.status:read_status",
    "to_pandas": "synthgen.dataset.tables",
}

__all__ = list(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]

_get, __dir__ = lazily(__name__, _HOMES)


def __getattr__(name: str) -> object:
    if name in _HOMES:
        check_own_packages()
    return _get(name)
