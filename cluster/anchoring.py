"""Paths of a configuration that do not depend on the working folder."""

import os
from pathlib import Path

from synthgen.config import FaceIdIdentitiesConfig, RunConfig
from synthgen.config.priors.empirical import with_absolute_labels

IN_JOB = "SYNTHGEN_IN_JOB"
"""Variable that is set in a job: there each process works in its node's copy of the job's folder,
which need not lie at the same place on all nodes."""


def anchored(config: RunConfig) -> RunConfig:
    """Make local paths absolute: an actor may have another working directory.

    In a job they stay as they are.
    """
    if os.environ.get(IN_JOB):
        return config
    found = _with_absolute_stores(with_absolute_labels(config))
    path = config.output.path
    if "://" in path:
        return found
    # fsspec takes `~` for the home folder, pathlib does not.
    absolute = str(Path(path).expanduser().absolute())
    output = config.output.model_copy(update={"path": absolute})
    return found.model_copy(update={"output": output})


def _with_absolute_stores(config: RunConfig) -> RunConfig:
    changed = {}
    if isinstance(config.identities, FaceIdIdentitiesConfig):
        changed["identities"] = config.identities.with_absolute_store()
    if config.verify.identity is not None:
        identity = config.verify.identity.with_absolute_stores()
        changed["verify"] = config.verify.model_copy(update={"identity": identity})
    return config.model_copy(update=changed)
