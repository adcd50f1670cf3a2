"""Following a job by a client that says what a dashboard would."""

import pytest
from ray.job_submission import JobDetails, JobStatus

from cluster.jobs import client as following_module
from cluster.jobs.client import follow
from synthgen.errors import ConfigError


class Dashboard:
    """Tells one status after the other, and with each the log as far as it is."""

    def __init__(self, *told, exit_code=None, broken=()):
        self._told = list(told)
        self._exit_code = exit_code
        self._broken = set(broken)
        self._asked = 0

    def get_job_info(self, job):
        if job != "job":
            raise RuntimeError("Request failed with status code 404: no such job.")
        status, self._log = self._told[min(self._asked, len(self._told) - 1)]
        self._asked += 1
        return JobDetails(
            type="SUBMISSION", status=status, entrypoint="x", message="why",
            driver_exit_code=self._exit_code,
        )  # fmt: skip

    async def tail_job_logs(self, job):
        for piece in self._log:
            yield piece
        if self._asked in self._broken:
            raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(following_module, "_PAUSE", 0.0)


def test_a_log_is_shown_once_though_the_connection_breaks():
    shown = []
    told = [
        (JobStatus.PENDING, []),
        (JobStatus.RUNNING, ["one\n", "tw"]),
        (JobStatus.RUNNING, ["one\ntwo\n", "thr"]),
        (JobStatus.SUCCEEDED, ["one\ntwo\nthree\n"]),
    ]
    assert follow(Dashboard(*told, broken={2}), "job", shown.append) == 0
    assert "".join(shown) == "one\ntwo\nthree\n"


@pytest.mark.parametrize("code", [2, 3])
def test_the_exit_code_is_the_job_s(code):
    dashboard = Dashboard((JobStatus.FAILED, ["error\n"]), exit_code=code)
    assert follow(dashboard, "job", lambda piece: None) == code


def test_a_stopped_and_a_lost_job():
    shown = []
    assert follow(Dashboard((JobStatus.STOPPED, [])), "job", shown.append) == 130
    assert follow(Dashboard((JobStatus.FAILED, [])), "job", shown.append) == 1
    assert shown == ["the job failed: why\n"]


def test_no_such_job():
    with pytest.raises(ConfigError, match=r"^there is no job 'other' on this cluster$"):
        follow(Dashboard(), "other", lambda piece: None)


def test_a_dashboard_that_stays_silent(monkeypatch):
    monkeypatch.setattr(following_module, "_PATIENCE", 0.0)
    with pytest.raises(ConfigError) as caught:
        follow(Dashboard((JobStatus.RUNNING, []), broken={1, 2, 3}), "job", lambda piece: None)
    assert str(caught.value) == (
        "the dashboard has been silent for 0 s while job job was followed; whether it goes on is "
        "not known"
    )
