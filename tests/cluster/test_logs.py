import json
import logging

import pytest

from cluster.progress import about, log_to_session, log_to_terminal

_log = logging.getLogger("cluster.somewhere")
OURS = ("cluster", "pipelines", "samplers", "synthgen")


@pytest.fixture(autouse=True)
def _loggers_as_before():
    before = {name: (list(logging.getLogger(name).handlers)) for name in OURS}
    yield
    for name, handlers in before.items():
        logging.getLogger(name).handlers = handlers
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_of_json_holds_the_sentence_and_the_facts(capsys):
    log_to_terminal("json")
    with about(shard="train-00003"):
        _log.info("%d samples", 2, extra={"event": "batch_failed", "samples": ["a", "b"]})
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line.pop("process")
    assert line == {
        "level": "info",
        "event": "batch_failed",
        "message": "2 samples",
        "shard": "train-00003",
        "samples": ["a", "b"],
        "logger": "cluster.somewhere",
    }


def test_what_is_about_a_shard_ends_with_it(capsys):
    log_to_terminal("json")
    with about(shard="train-00003"), about(attempt=1):
        pass
    _log.info("later")
    assert not {"shard", "attempt"} & set(json.loads(capsys.readouterr().err))


def test_a_traceback_stays_on_its_line(capsys):
    log_to_terminal("json")
    try:
        raise ValueError("poison")
    except ValueError:
        _log.warning("failed", exc_info=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["error"].endswith("ValueError: poison")


def test_people_at_a_terminal_see_warnings_as_sentences(capsys):
    log_to_terminal("text")
    _log.info("train-00003 is made")
    _log.warning("an actor is lost")
    (line,) = capsys.readouterr().err.splitlines()
    assert line[19:] == " WARNING an actor is lost"


def test_an_actors_log_holds_all(capsys):
    log_to_session("text")
    _log.info("train-00003 is made")
    assert capsys.readouterr().err[19:] == " INFO train-00003 is made\n"


def test_a_second_set_up_replaces_the_first(capsys):
    log_to_terminal("text")
    log_to_terminal("json")
    _log.warning("once")
    assert len(capsys.readouterr().err.splitlines()) == 1
