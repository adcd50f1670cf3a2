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

LONGEST = (
    "tests/test_newcomer.py",
    "tests/synthgen/test_cli.py",
    "tests/cluster/test_pipeline_labels.py",
    "tests/cluster/test_other_samplers.py",
    "tests/extending/test_packages_of_others.py",
    "tests/cluster/test_generate_inline.py",
    "tests/test_readme.py",
)
"""Files that take longest. They come first: begun late, one of them keeps one worker alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {file: number for number, file in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.nodeid.partition("::")[0], len(LONGEST)))


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
