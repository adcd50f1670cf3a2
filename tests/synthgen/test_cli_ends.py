"""How a command ends whatever the terminal, the reader of its output or the user does."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from synthgen import termination
from synthgen.foreign import printable

DRAWN = Path(__file__).parents[2] / "examples" / "drawn-faces.yaml"
COMMAND = [sys.executable, "-m", "synthgen.cli"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_the_terminal_cannot_show_is_escaped(encoding):
    template = "identities.template=ein Porträt 訓練 {age} {person} {hair} {skin} {extra}"
    done = subprocess.run(
        [*COMMAND, "plan", DRAWN, "--set", template],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    # An ASCII terminal is taken for one that was set up badly, and gets UTF-8.
    assert (b"\\u8a13\\u7df4" in done.stdout) == (encoding == "latin-1")


def test_a_reader_that_goes_away_leaves_no_traceback():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*COMMAND, "config-schema"], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_a_stop_leaves_no_traceback():
    script = (
        "import signal; from synthgen import cli\n"
        "def stop(number, frame):\n"
        # Python drops what is raised while a weak reference of its import system is called back.
        "    if 'importlib' in frame.f_code.co_filename:\n"
        "        signal.setitimer(signal.ITIMER_REAL, 0.01)\n"
        "    else:\n"
        "        signal.default_int_handler(number, frame)\n"
        "signal.signal(signal.SIGALRM, stop)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
        "cli.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "plan", DRAWN, "-n", "240", "--set", "samples=600000",
         "--set", "identities.expressions_per_identity=6000"],
        capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 130
    assert b"Traceback" not in done.stderr


def test_a_name_that_no_terminal_can_take_is_escaped():
    done = subprocess.run(
        [*COMMAND, "plan", b"no\xff\x1b[31m.yaml"], capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"error: the configuration no\\udcff\\x1b[31m.yaml does not exist\n"
    assert printable("a\x1b\n\ud800b") == "a\\x1b\n\\ud800b"


@pytest.mark.parametrize(
    "arguments",
    [
        ["image", "a face", "-o", "x.png", "--seed", str(2**64)],
        ["evaluate", "fineface", "-o", "x.md", "--seed", str(2**64)],
        ["plan", DRAWN, "-n", str(10**18)],
    ],
)
def test_numbers_that_no_generator_takes_are_refused(arguments, tmp_path):
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, check=False, cwd=tmp_path, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    words = " ".join(done.stderr.replace("│", " ").split())
    assert "should be less than or equal to" in words
    assert list(tmp_path.iterdir()) == []


def test_a_signal_of_an_earlier_command_does_not_count():
    before = signal.getsignal(signal.SIGTERM)
    try:
        termination.note()
        termination.end_as_by_ctrl_c()
        assert not termination.came()
    finally:
        signal.signal(signal.SIGTERM, before)
