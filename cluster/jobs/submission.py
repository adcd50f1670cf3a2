"""Submit a run as a job."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cluster.anchoring import IN_JOB
from cluster.jobs.packing import CONFIG_FILE, Package, archive, pack
from synthgen.config import RunConfig
from synthgen.errors import ConfigError
from synthgen.foreign import first_line
from synthgen.redaction import secret_in


def send(
    client: Any,
    config: RunConfig,
    command: str = "generate",
    arguments: Sequence[str] = (),
    requirements: Sequence[str] = (),
) -> tuple[str, Package]:
    """Send a run to a cluster.

    Args:
        client: Ray's client for jobs.
        config: the run.
        command: what `synthgen` is to do there: `generate` or `check`.
        arguments: further arguments of the command.
        requirements: packages that pip installs on each node first; none: the nodes have
            everything.

    Returns:
        The job's id, and what was sent.

    Raises:
        ConfigError: if the package is too large, a requirement holds a secret, or the cluster
            refuses the job.
        OutputError: if the output would vanish with the job.
    """
    environment: dict[str, Any] = {"env_vars": {IN_JOB: "1"}}
    for requirement in requirements:
        if shown := secret_in(requirement):
            raise ConfigError(
                f"--pip holds a user, a password or a token ({shown}), which Ray's dashboard would "
                "show; leave it out, and give it in pip's own configuration on each node"
            )
    if requirements:
        environment["pip"] = list(requirements)
    with TemporaryDirectory(prefix="synthgen-job-") as folder:
        package = pack(config, Path(folder, "job"))
        archive(package, Path(folder, "job.zip"))
        words = ["python", "-m", "synthgen.cli", command, CONFIG_FILE, *arguments]
        try:
            job = client.submit_job(
                entrypoint=" ".join(words),
                submission_id=_name(config, command),
                runtime_env={**environment, "working_dir": f"{folder}/job.zip"},
            )
        except (RuntimeError, ValueError) as error:
            raise ConfigError(f"the cluster refuses the job: {first_line(error)}") from error
    return job, package


def _name(config: RunConfig, command: str) -> str:
    """Return an id that tells jobs of a run from others, and from one another."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", config.name)
    return f"{command}-{plain}-{secrets.token_hex(4)}"
