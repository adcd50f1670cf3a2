"""A Ctrl-C at any line of the executor without Ray ends it: no lock stays held."""

import itertools
import linecache
import sys
import threading
from concurrent.futures import _base, thread

from cluster import executors
from cluster.executors import InlineExecutor
from cluster.schedule import Schedule
from samplers.plan import build_plan
from synthgen.config import parse_config

TRACED = {executors.__file__, _base.__file__, thread.__file__}
RUN = {
    "name": "interrupts",
    "seed": 3,
    "samples": 2,
    "output": {"shard_size": 1, "splits": {"train": 1.0}},
    "expressions": {"prior": "emotions", "categories": ["happy", "sad"]},
    "identities": {
        "source": "prompts",
        "template": "a {age} man",
        "slots": {"age": ["young", "old"]},
    },
    "pipeline": {"name": "procedural", "size": 64, "batch_size": 1},
    "verify": {"verifier": "none"},
}


def _lock(frame):
    """Tell a line whose event comes again before its lock is given back; no signal comes there."""
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).lstrip().startswith("with ")


def interrupted_at(line, folder):
    """Work a small run that is interrupted at a line of the main loop; tell how it ended."""
    config = parse_config(RUN | {"output": RUN["output"] | {"path": str(folder / str(line))}})
    plan = build_plan(config)
    events = itertools.count(1)
    ended = []

    def trace(frame, event, _):
        if frame.f_code.co_filename not in TRACED:
            return None
        if event == "line" and not _lock(frame) and next(events) == line:
            raise KeyboardInterrupt
        return trace

    def work():
        with InlineExecutor(config, plan) as executor:
            sys.settrace(trace)
            try:
                executor.run(Schedule(plan.shards(), 1), lambda marker: None, lambda counts: None)
                ended.append("whole")
            except KeyboardInterrupt:
                ended.append("interrupted")
            finally:
                sys.settrace(None)
        ended.append("left")

    loop = threading.Thread(target=work, daemon=True)
    loop.start()
    loop.join(20)
    return ended


def test_an_interrupt_at_any_line_leaves_no_lock_held(tmp_path):
    for line in itertools.count(1):
        found = interrupted_at(line, tmp_path)
        assert found[-1:] == ["left"], f"hangs after line {line}"
        if found[0] == "whole":
            assert line > 50  # each run before was interrupted
            break
