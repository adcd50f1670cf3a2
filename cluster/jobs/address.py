"""Reach the dashboard of a Ray cluster, which takes jobs."""

import logging
import os
from typing import Any

import requests

from cluster.addresses import PATIENCE, telling_of_silence
from synthgen.errors import ConfigError
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
