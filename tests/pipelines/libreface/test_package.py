"""The check `libreface-package`: the package's numbers, its process, its refusals, a run of it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from made_package import THERE, make_interpreter, make_weights
from PIL import Image

from cluster.driver import generate
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.expression import ExpressionCheck
from pipelines.libreface.expression_section import CLASSES
from pipelines.libreface.package import PackageCheck
from pipelines.libreface.package_process import PackageError, PackageProcess, find_package
from pipelines.libreface.weights import LICENCE
from pipelines.loading import check_values
from pipelines.procedural import random_identity, render
from synthgen.action_units import DEFAULT_AUS
from synthgen.config import load_config
from synthgen.dataset import Storage, read_record
from synthgen.errors import ConfigError, WeightsError
from synthgen.report.pictures import one_sample

EXAMPLE = Path(__file__).parents[3] / "examples" / "drawn-faces.yaml"
NEUTRAL = (0.0,) * 12

needs_package = pytest.mark.skipif(
    not THERE, reason="libreface is not installed: see tests/oracle-requirements.txt"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with `python`, an interpreter of the package's, and weights."""
    folder = tmp_path_factory.mktemp("package")
    make_interpreter(folder / "environment")
    make_weights(folder / "weights")
    return folder


@pytest.fixture(scope="module")
def process(place):
    made = PackageProcess(str(place / "environment" / "python"), place / "weights")
    yield made
    made.close()


def faces(count=3):
    return [render(random_identity(seed=seed), NEUTRAL, 256) for seed in range(count)]


@needs_package
def test_its_numbers_are_those_of_our_networks(process, place):
    images = faces()
    found = process.measure(images)
    aus, expressions = (process.weights[0], process.weights[1])
    ours = LibreFaceVerifier.from_pretrained(aus, "mediapipe")
    theirs = np.array([one.intensities for one in found])
    assert theirs.std() > 0.1
    assert np.abs(ours.measure(images).aus - theirs).max() < 1e-3
    chances = ours.occurrences(images)
    sure = np.abs(chances - 0.5) > 1e-4
    assert np.array_equal((chances >= 0.5)[sure], np.array([o.detections for o in found])[sure])
    check = ExpressionCheck.from_pretrained(str(expressions), "mediapipe")
    rows = check.measure(images, [one_sample("", NEUTRAL, 0, DEFAULT_AUS)] * len(images))
    names = [CLASSES[row["libreface_expression"]] for row in rows]
    assert [one.expression for one in found] == names


@needs_package
def test_pictures_of_no_face_and_of_two_are_told_by_their_number(process):
    one, other = faces(2)
    two = Image.new("RGB", (512, 256))
    two.paste(one, (0, 0))
    two.paste(other, (256, 0))
    gray = Image.new("RGB", (100, 100), "gray")
    large = one.resize((1700, 1700))
    found = process.measure([two, gray, large])
    assert [each.faces for each in found] == [2, 0, 1]
    check = PackageCheck(process)
    spec = one_sample("", NEUTRAL, 0, DEFAULT_AUS)
    rows = check.measure([two, gray], [spec, spec])
    assert [check.verdict(spec, row).reason for row in rows] == ["several_faces", "no_face"]
    assert all(row[name] is None for row in rows for name in check.columns)


def assert_replaced(process):
    """Kill its process; another one measures the same."""
    images = faces(1)
    before = process.measure(images)
    first = process._child._process
    os.kill(first.pid, signal.SIGKILL)
    assert process.measure(images) == before
    assert first.poll() == -signal.SIGKILL
    assert process._child._process.pid != first.pid


@pytest.mark.slow  # the package is loaded twice; the next test kills a cheaper process
@needs_package
def test_the_package_s_process_that_is_killed_is_replaced_and_measures_the_same(process):
    assert_replaced(process)


def made_child(folder, monkeypatch, lines):
    """Let a process of these lines of Python stand for the package, after its first answer."""
    child = folder / "child.py"
    hello = "import json, os, sys\nsys.stdin.readline()\n"
    hello += "print(json.dumps({'versions': {}, 'weights': []}), flush=True)\n"
    child.write_text(hello + lines)
    monkeypatch.setattr("pipelines.libreface.package_process._CHILD", child)


def python():
    return sys.executable


def test_a_process_that_is_killed_is_replaced_and_gets_the_batch_again(tmp_path, monkeypatch):
    lines = "while line := sys.stdin.buffer.readline():\n"
    lines += "    read = [len(sys.stdin.buffer.read(size)) for size in json.loads(line)['sizes']]\n"
    lines += "    rest = {'faces': 1, 'detections': [], 'expression': 'Happy'}\n"
    lines += "    found = [{'intensities': [float(size)], **rest} for size in read]\n"
    lines += "    print(json.dumps({'found': found}), flush=True)\n"
    made_child(tmp_path, monkeypatch, lines)
    process = PackageProcess(python(), tmp_path)
    assert_replaced(process)
    process.close()


def test_a_batch_at_which_three_processes_die_is_an_error(tmp_path, monkeypatch):
    log = tmp_path / "log"
    lines = f"sys.stdin.readline()\nopen({str(log)!r}, 'a').write('x')\n"
    lines += "sys.stderr.write('out of memory\\n')\nsys.stderr.flush()\nos.kill(os.getpid(), 9)\n"
    made_child(tmp_path, monkeypatch, lines)
    process = PackageProcess(python(), tmp_path)
    with pytest.raises(PackageError) as died:
        process.measure(faces(2))
    assert str(died.value) == (
        "3 processes of LibreFace's package, one after another, ended at a batch of 2 images; the "
        "last one: signal SIGKILL, out of memory"
    )
    assert log.read_text() == "xxx"


def test_one_that_does_not_answer_is_ended(tmp_path, monkeypatch):
    made_child(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n")
    process = PackageProcess(python(), tmp_path, patience=0.2)
    with pytest.raises(PackageError) as died:
        process.measure(faces(1))
    assert str(died.value).endswith("batch of 1 images; the last one: it did not answer for 0.2 s")


def test_a_process_that_is_closed_ends(tmp_path, monkeypatch):
    made_child(tmp_path, monkeypatch, "import time\ntime.sleep(60)\n")
    process = PackageProcess(python(), tmp_path)
    child = process._child._process
    process.close()
    assert child.poll() is not None


def test_an_error_of_the_package_is_told_and_the_process_stays(tmp_path, monkeypatch):
    lines = "import io\n"
    lines += "while line := sys.stdin.buffer.readline():\n"
    lines += "    sys.stdin.buffer.read(sum(json.loads(line)['sizes']))\n"
    lines += "    print(json.dumps({'error': 'cv2.error: odd'}), flush=True)\n"
    made_child(tmp_path, monkeypatch, lines)
    process = PackageProcess(python(), tmp_path)
    for _ in range(2):
        with pytest.raises(PackageError) as failed:
            process.measure(faces(1))
        assert str(failed.value) == "LibreFace's package failed at an image: cv2.error: odd"
    assert process._child is not None


def test_a_process_ends_with_who_started_it(tmp_path):
    """Try the child's watch in a process whose parent is killed."""
    watched = (
        "import runpy, sys, time\n"
        "child = runpy.run_path(sys.argv[1])\n"
        "child['_end_with_parent']()\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    child = Path(__file__).parents[3] / "pipelines" / "libreface" / "package_child.py"
    between = (
        "import subprocess, sys, time\n"
        "made = subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]],"
        " stdout=subprocess.PIPE)\n"
        "made.stdout.readline()\n"
        "print(made.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [python(), "-c", between, watched, str(child)], stdout=subprocess.PIPE
    )
    grandchild = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{grandchild}/stat").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{grandchild}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.1)
    assert time.monotonic() < deadline


def config(tmp_path, *more, **check):
    keys = ", ".join(f"{key}: {value}" for key, value in check.items())
    settings = [
        "samples=4",
        "pipeline.batch_size=2",
        "pipeline.size=192",
        "output.shard_size=4",
        "output.splits={train: 1}",
        f"output.path={tmp_path / 'faces'}",
        f"verify={{checks: [{{name: libreface-package, {keys}}}], max_attempts: 1, "
        "on_exhausted: keep_best}",
    ]
    return load_config(EXAMPLE, [*settings, *more])


@needs_package
def test_a_run_is_measured_by_the_package(place, tmp_path):
    interpreter = place / "environment" / "python"
    made = config(tmp_path, python=interpreter, weights=place / "weights")
    generate(made, "inline")
    rows = load_dataset(made.output.path, split="train")
    assert rows.num_rows == 4
    assert rows.features["libreface_expression"].names == list(CLASSES)
    for row in rows:
        assert row["verifier"] == "libreface-package"
        assert len(row["aus_measured"]) == 12
        assert set(row["libreface_detections"]) <= {0.0, 1.0}
    record = read_record(Storage(made.output.path))
    assert record.licences["combined_resnet.pt"] == LICENCE
    assert record.identity["versions"]["libreface-package: libreface"] == "0.2.0"


def test_where_things_lie_is_no_part_of_the_identity(tmp_path):
    here = config(tmp_path, python="/a/python", weights="/a/weights")
    there = config(tmp_path, python="/b/python", patience=7)
    assert here.identity() == there.identity()
    assert here.identity() != config(tmp_path, python="/a/python", device="cuda").identity()
    check_values(here)


def test_paths_do_not_depend_on_the_working_folder_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (check,) = config(tmp_path, python="env/bin/python", weights="w").verify.checks
    found = check.with_absolute_paths()
    assert (found.python, found.weights) == (f"{tmp_path}/env/bin/python", f"{tmp_path}/w")
    (check,) = config(tmp_path, python="python3.10").verify.checks
    assert check.with_absolute_paths() == check


WANTED = "it must be the interpreter of an environment where libreface 0.2 is installed"


def test_another_interpreter_is_refused(tmp_path):
    with pytest.raises(ConfigError) as refused:
        find_package(str(tmp_path / "none"))
    assert str(refused.value) == (
        f"python of the check 'libreface-package' is {tmp_path / 'none'} (No such file or "
        f"directory); {WANTED}"
    )
    with pytest.raises(ConfigError) as refused:
        find_package(python())
    assert str(refused.value) == (
        f"python of the check 'libreface-package' is {python()}, which has no libreface; {WANTED}"
    )
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\necho 0.1.3\n")
    old.chmod(0o755)
    with pytest.raises(ConfigError) as refused:
        find_package(str(old))
    assert str(refused.value) == (
        f"python of the check 'libreface-package' is {old}, which has libreface 0.1.3; {WANTED}"
    )


@needs_package
def test_missing_weights_and_a_start_that_fails_are_told(place, tmp_path):
    interpreter = str(place / "environment" / "python")
    made = config(tmp_path, python=interpreter, weights=tmp_path / "weights")
    (check,) = made.verify.checks
    with pytest.raises(WeightsError) as refused:
        check.find_weights(fetch=False)
    assert str(refused.value) == (
        f"weights {tmp_path}/weights/AU_Recognition/weights/combined_resnet.pt of LibreFace's "
        "package are missing; `synthgen weights fetch CONFIG` lets it fetch them"
    )
    broken = make_interpreter(tmp_path / "broken", 'case "$2" in *runpy*) exit 3;; esac')
    with pytest.raises(WeightsError) as refused:
        PackageProcess(broken, tmp_path)
    assert str(refused.value) == (
        f"LibreFace's package in the environment of {broken} does not start: exit code 3"
    )


def test_a_tolerance_of_an_au_that_the_run_has_not_is_refused(tmp_path):
    with pytest.raises(ConfigError) as refused:
        config(tmp_path, python="python", policy="{per_au_tolerance: {AU10: 1}}")
    assert "verify.checks.0.policy.per_au_tolerance: AU10" in str(refused.value)
