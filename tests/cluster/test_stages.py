"""A stage that runs one call at a time, for a bounded time."""

import gc
import subprocess
import sys
import threading
import weakref

import pytest

from cluster.batches import BoundedStage, StageBlocked, StageTimeout, StageTimes


def test_results_and_errors_come_through():
    stage = BoundedStage(60)
    assert stage.run(lambda: threading.current_thread().daemon, "never said")
    with pytest.raises(TimeoutError, match="its own"):
        stage.run(lambda: (_ for _ in ()).throw(TimeoutError("its own")), "never said")
    assert stage.run(lambda: 3, "never said") == 3


def test_whoever_waits_for_a_hung_stage_is_told_too():
    stage, go_on, caught = BoundedStage(0.2), threading.Event(), []

    def use():
        try:
            stage.run(go_on.wait, "it hangs")
        except StageTimeout as error:
            caught.append((type(error), str(error)))

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert caught == [(StageTimeout, "it hangs"), *[(StageBlocked, "it hangs")] * 2]
    go_on.set()


def test_a_hung_stage_does_not_keep_its_process_alive():
    code = (
        "import threading\n"
        "from cluster.batches import BoundedStage, StageTimeout\n"
        "try: BoundedStage(0.1).run(threading.Event().wait, 'hung')\n"
        "except StageTimeout as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True)
    assert done.stdout == b"hung\n"


def test_a_stage_that_nobody_needs_ends_and_lets_its_calls_go():
    class Held:
        pass

    held = Held()
    known = weakref.ref(held)
    stage = BoundedStage(60)
    stage.run(lambda held=held: None, "never said")
    thread = stage.run(threading.current_thread, "never said")
    del held, stage
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()
    assert known() is None


def test_stages_are_added_up_and_told_but_for_waiting():
    told = []
    times = StageTimes(lambda stage, seconds: told.append(stage))
    with times.waiting(), times.busy("paint"):
        pass
    with pytest.raises(ValueError, match="x"), times.busy("paint"):
        raise ValueError("x")
    assert told == ["paint", "paint"]
    assert set(times.seconds) == {"paint", "wait"}
