"""Jobs of a Ray cluster: its dashboard reached, a run submitted, its log followed."""

import asyncio
import logging
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests

from cluster.addresses import PATIENCE, telling_of_silence
from cluster.jobs.packing import CONFIG_FILE, Package, archive, pack
from cluster.resolve import IN_JOB
from synthgen.config import RunConfig
from synthgen.errors import ConfigError
from synthgen.foreign import first_line
from synthgen.redaction import secret_in

_WHERE = (
    "the head node prints its address, and needs --dashboard-host=0.0.0.0 to be reached from "
    "elsewhere"
)


def connect(address: str) -> Any:
    """Return Ray's client for the jobs of a cluster.

    Where the cluster asks for a token, Ray takes it from `RAY_AUTH_TOKEN`, from the file that
    `RAY_AUTH_TOKEN_PATH` names, or from `~/.ray/auth_token`, given `RAY_AUTH_MODE=token`.

    Args:
        address: the dashboard, such as `http://head:8265`.

    Raises:
        ConfigError: if nothing answers there, or the token is missing or wrong.
    """
    if shown := secret_in(address):
        raise ConfigError(
            f"--address holds a user, a password or a token ({shown}), which would be shown; leave "
            "it out: a cluster asks for a token, as docs/cluster.md says"
        )
    if not address.startswith(("http://", "https://")):
        raise ConfigError(
            f"--address {address!r} is no dashboard; jobs go to one such as http://head:8265"
        )
    # Ray prefers this to its own argument, and RAY_ADDRESS to both.
    os.environ["RAY_API_SERVER_ADDRESS"] = address
    from ray.exceptions import AuthenticationError
    from ray.job_submission import JobSubmissionClient

    _quiet()
    _check_answers(address)
    try:
        return JobSubmissionClient(address)
    except AuthenticationError as error:
        raise ConfigError(refused(address)) from error
    except (ConnectionError, RuntimeError) as error:
        raise ConfigError(_no_answer(address)) from error


def _check_answers(address: str) -> None:
    """Ask for anything, for a bounded time: Ray's client would wait for ever.

    Whatever is answered is an answer; what is wrong with it is for Ray's client to find.
    """
    with telling_of_silence(f"the Ray dashboard at {address}", _WHERE):
        try:
            requests.get(f"{address.rstrip('/')}/api/version", timeout=PATIENCE).close()
        except requests.RequestException as error:
            raise ConfigError(_no_answer(address)) from error


def _no_answer(address: str) -> str:
    return f"--address: no Ray dashboard answers at {address}; {_WHERE}"


def _quiet() -> None:
    """Keep Ray from telling of each request, and of files that are large on purpose."""
    for name in (
        "ray.dashboard.modules.dashboard_sdk",
        "ray.dashboard.modules.job.sdk",
        "ray._private.runtime_env.packaging",
    ):
        logging.getLogger(name).setLevel(logging.ERROR)


def refused(address: str) -> str:
    """Say how to show a token."""
    return (
        f"{address} asks for a token, and what it got is missing or wrong; set RAY_AUTH_MODE=token "
        "and RAY_AUTH_TOKEN, or RAY_AUTH_TOKEN_PATH"
    )


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


_PAUSE = 2.0
"""Pause before a log is asked for again [s]."""

_PATIENCE = 300.0
"""Time without an answer after which the dashboard counts as gone [s]."""

_FAILED = 1
_STOPPED = 130


def follow(client: Any, job: str, show: Callable[[str], None]) -> int:
    """Show a job's log while it runs, and return its exit code.

    The connection may break in between: what was shown is not shown again.

    Args:
        client: Ray's client for jobs.
        job: the job's id.
        show: takes pieces of the log as they come.

    Returns:
        The exit code of the job's command; 130 if somebody stopped it, 1 if the cluster lost it.

    Raises:
        ConfigError: if there is no such job, or the dashboard has been silent for five minutes.
    """
    log = _Log(show)
    heard = time.monotonic()
    while True:
        try:
            details = _details(client, job)
            ended = details.status.is_terminal()
            asyncio.run(_tail(client, job, log))
            heard = time.monotonic()
            if ended:
                return _exit_code(details, show)
        except (ConnectionError, OSError) as error:
            if time.monotonic() - heard > _PATIENCE:
                raise ConfigError(
                    f"the dashboard has been silent for {_PATIENCE:.0f} s while job {job} was "
                    "followed; whether it goes on is not known"
                ) from error
        time.sleep(_PAUSE)


class _Log:
    """Shows a log that is read from its beginning again and again, each character once."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._shown = self._seen = 0

    def begin(self) -> None:
        """Expect the log from its beginning."""
        self._seen = 0

    def take(self, piece: str) -> None:
        """Take in the next piece, and show what is new in it."""
        self._seen += len(piece)
        if self._seen > self._shown:
            self._show(piece[len(piece) - (self._seen - self._shown) :])
            self._shown = self._seen


def _details(client: Any, job: str) -> Any:
    try:
        return client.get_job_info(job)
    except RuntimeError as error:
        if "404" in str(error):
            raise ConfigError(f"there is no job {job!r} on this cluster") from error
        raise ConnectionError(str(error)) from error


async def _tail(client: Any, job: str, log: _Log) -> None:
    import aiohttp

    log.begin()
    try:
        async for piece in client.tail_job_logs(job):
            log.take(piece)
    except (RuntimeError, aiohttp.ClientError) as error:
        raise ConnectionError(str(error)) from error


def _exit_code(details: Any, show: Callable[[str], None]) -> int:
    if details.status == "SUCCEEDED":
        return 0
    if details.status == "STOPPED":
        return _STOPPED
    if details.driver_exit_code:
        return details.driver_exit_code
    show(f"the job failed: {details.message}\n")
    return _FAILED
