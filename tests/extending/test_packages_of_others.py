"""Packages of others, installed as their users would, make a dataset: see `docs/extending.md`."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
from pathlib import Path

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from synthgen.dataset.marks.containers import without_marks

REPOSITORY = Path(__file__).parents[2]
PACKAGES = REPOSITORY / "examples" / "extending"
NAMES = ("ovals", "brightness", "solo", "roster")
PEOPLE = 240
SAMPLES, SHARD = 384, 8


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has what this one has, and the packages installed."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (site / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    sources = [shutil.copytree(PACKAGES / name, folder / name) for name in NAMES]
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    pip = [python, "-m", "pip", "install", "--disable-pip-version-check", *options, *sources]
    subprocess.run(pip, check=True)
    return python


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the configuration and enough people."""
    folder = tmp_path_factory.mktemp("place")
    write_run(folder)
    return folder


def write_run(folder: Path, dotted: bool = False) -> None:
    text = (PACKAGES / "run.yaml").read_text()
    if dotted:
        for name in NAMES:
            text = re.sub(rf"\b{name}\b(?=[ ,}}]*[ #])", f'"synthgen_{name}:{name.title()}"', text)
        assert text.count('"synthgen_') == len(NAMES)
    (folder / "run.yaml").write_text(text)
    rows = "".join(f"P{number},a drawing of person {number}\n" for number in range(PEOPLE))
    (folder / "people.csv").write_text(f"person,prompt\n{rows}")


def command(python: Path | str, *arguments: object) -> list[str]:
    return [str(python), "-m", "synthgen", *map(str, arguments)]


def run(
    python: Path | str, folder: Path, *arguments: object, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(python, *arguments),
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def generate(samples: int = SAMPLES, executor: str = "ray") -> list[str]:
    settings = [f"samples={samples}", f"output.shard_size={SHARD}"]
    sets = [part for setting in settings for part in ("--set", setting)]
    return ["generate", "run.yaml", *sets, "--executor", executor]


@pytest.fixture(scope="module")
def dataset(python: Path, place: Path) -> Path:
    """A dataset made on Ray by two actors, whose driver was killed in the middle."""
    out = place / "strangers"
    driver = subprocess.Popen(
        command(python, *generate()), cwd=place, stderr=subprocess.DEVNULL, start_new_session=True
    )
    markers = out / ".synthgen" / "shards"
    deadline = time.monotonic() + 120
    while not list(markers.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert 0 < len(list(markers.glob("*.json"))) < SAMPLES // SHARD
    done = run(python, place, *generate())
    assert done.returncode == 0, done.stderr
    return out


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.glob("data/*.parquet")
    }


def rows(folder: Path, *columns: str) -> dict[str, dict[str, object]]:
    """Return the samples by the number in their names; images as bytes, without their marks.

    Marks name samples, whose ids differ where components are named otherwise.
    """
    found = {}
    for path in folder.glob("data/*.parquet"):
        for row in pq.read_table(path, columns=["sample_id", "image", *columns]).to_pylist():
            number = row.pop("sample_id").rpartition("-")[2]
            found[number] = {**row, "image": without_marks(row["image"]["bytes"])}
    return found


@pytest.mark.ray
def test_a_killed_run_is_continued_and_extended(python: Path, place: Path, dataset: Path) -> None:
    found = run(python, place, "inspect", "strangers")
    assert found.returncode == 0, found.stdout
    before = digests(dataset)
    assert len(before) == SAMPLES // SHARD
    longer = shutil.copytree(place, place.parent / "longer")
    done = run(python, longer, *generate(SAMPLES + 2 * SHARD, "inline"))
    assert done.returncode == 0, done.stderr
    after = digests(longer / "strangers")
    assert len(rows(longer / "strangers")) == SAMPLES + 2 * SHARD
    assert before.items() <= after.items()


@pytest.mark.ray
def test_a_sample_is_made_again(python: Path, place: Path, dataset: Path) -> None:
    first = pq.read_table(next(dataset.glob("data/train-*.parquet")))["sample_id"][0].as_py()
    done = run(python, place, "reproduce", "strangers", first)
    assert (done.returncode, done.stdout) == (0, f"{first}: the same image, byte by byte\n")


@pytest.mark.ray
def test_the_column_of_the_check_is_loaded(dataset: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(dataset), split="test", cache_dir=str(tmp_path))
    assert loaded.features["brightness"] == datasets.Value("float32")
    for row in loaded.select(range(10)):
        grey = np.asarray(row["image"].convert("L")).mean()
        assert row["brightness"] == pytest.approx(grey)
        assert row["accepted"] is True
        assert np.count_nonzero(row["aus"]) == 1
        assert (row["pipeline"], row["verifier"]) == ("ovals", "brightness")


@pytest.mark.ray
def test_the_column_of_the_pipeline_is_loaded(dataset: Path, tmp_path: Path) -> None:
    loaded = datasets.load_dataset(str(dataset), split="test", cache_dir=str(tmp_path))
    for row in loaded.select(range(10)):
        assert row["oval_skin"] == list(row["image"].getpixel((32, 32)))
    text = (dataset / "README.md").read_text()
    assert "| `oval_skin` | ovals | Red, green and blue of the skin [0, 255]. |" in text


@pytest.mark.ray
def test_the_card_and_the_record_say_who_made_it(dataset: Path) -> None:
    expected = {
        "synthgen-ovals": ("1.2.0", "MIT"),
        "synthgen-brightness": ("0.3.1", "BSD-3-Clause"),
        "synthgen-solo": ("0.1.0", "MIT"),
        "synthgen-roster": ("2.0.0", "Apache-2.0"),
    }
    record = json.loads((dataset / ".synthgen" / "run.json").read_text())
    text = (dataset / "README.md").read_text()
    for name, (version, licence) in expected.items():
        assert record["identity"]["versions"][name] == version
        assert record["licences"][name] == licence
        assert f"| {name} | {version} |" in text
        assert f"| {name} | {licence} |" in text


@pytest.mark.ray
def test_a_dotted_path_makes_the_same_images(python: Path, dataset: Path, tmp_path: Path) -> None:
    write_run(tmp_path, dotted=True)
    done = run(python, tmp_path, *generate(6 * SHARD, "inline"))
    assert done.returncode == 0, done.stderr
    made = rows(tmp_path / "strangers", "aus", "brightness", "identity_id")
    asked = rows(dataset, "aus", "brightness", "identity_id")
    assert len(made) == 6 * SHARD
    assert made == {number: asked[number] for number in made}


@pytest.mark.ray
def test_modules_of_the_working_folder_serve_too(dataset: Path, tmp_path: Path) -> None:
    write_run(tmp_path, dotted=True)
    for name in NAMES:
        shutil.copy(PACKAGES / name / f"synthgen_{name}.py", tmp_path)
    done = run(sys.executable, tmp_path, *generate(6 * SHARD, "inline"))
    assert done.returncode == 0, done.stderr
    made, asked = rows(tmp_path / "strangers"), rows(dataset)
    assert made == {number: asked[number] for number in made}
    record = json.loads((tmp_path / "strangers" / ".synthgen" / "run.json").read_text())
    versions = record["identity"]["versions"]
    for name in NAMES:
        assert re.fullmatch("sha256:[0-9a-f]{64}", versions[f"synthgen_{name}"])
    first = pq.read_table(next((tmp_path / "strangers").glob("data/*.parquet")))["sample_id"][0]
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(tmp_path)]))
    again = ["reproduce", "strangers", first.as_py()]
    assert run(sys.executable, tmp_path, *again, PYTHONPATH=path).returncode == 0
    refused = run(sys.executable, tmp_path, *again)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "the module synthgen_" in refused.stderr


def test_the_check_says_what_it_rejects(python: Path, place: Path, tmp_path: Path) -> None:
    dark = "verify.checks=[{name: brightness, least: 250}]"
    few = ["--set", dark, "--set", "verify.on_exhausted=drop", "--set", f"output.path={tmp_path}/o"]
    done = run(python, place, *generate(4, "inline"), *few)
    assert done.returncode == 3, done.stderr
    (table,) = (pq.read_table(path) for path in (tmp_path / "o" / "rejects").glob("train*"))
    first = table.to_pylist()[0]
    assert first["reason"] == "brightness:dark"
    assert first["detail"] == (
        f"the brightness is {first['brightness']:.1f}; the least allowed is 250"
    )


def test_what_is_installed_is_named_where_a_name_is_wrong(python: Path, place: Path) -> None:
    done = run(python, place, "plan", "run.yaml", "--set", "pipeline.name=oval")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --set pipeline.name=oval: pipeline.name is 'oval'; did you mean 'ovals'? It must "
        "be 'procedural', 'fineface', 'fineface-faceid', 'fineface-baseline' or 'arc2face', "
        "installed: 'ovals', or package.module:Class\n",
    )


def test_a_key_that_a_package_does_not_know_is_refused(python: Path, place: Path) -> None:
    done = run(python, place, "plan", "run.yaml", "--set", "pipeline.lines=3")
    assert (done.returncode, done.stderr) == (
        2,
        "error: --set pipeline.lines=3: unknown key pipeline.lines; did you mean 'line'? There are "
        "batch_size, threads, name, size, line\n",
    )
