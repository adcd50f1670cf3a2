"""What all tests share: offline, one thread, no writing outside of temporary folders."""

import gc
import logging
import os
from collections.abc import Iterator

import pytest
from checked_calls import use_light_checks
from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

use_light_checks()

# A loaded machine is slow, not wrong.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage among what importing the packages makes, then or later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_runtest_teardown() -> None:
    """Undo what a command that ran in this process did to the logs of our packages."""
    for name in ("cluster", "pipelines", "samplers", "synthgen"):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.setLevel(logging.NOTSET)
