"""Runs of Arc2Face: people by embeddings, expressions by a bank of FLAME numbers."""

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import datasets
import numpy as np
import pytest
import ray
import yaml
from arc2face_run import EMBEDDER, make_world, run_keys, write_people
from commands import run
from flame_banks import make_bank
from PIL import Image
from pyarrow import parquet

from cluster.driver import generate
from cluster.preflight import preflight
from samplers import build_plan
from samplers.flame import FlameExpression
from synthgen.config import RunConfig, parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record
from synthgen.errors import FaceEmbeddingError
from synthgen.report.reproduction import reproduce
from synthgen.report.status import read_status


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def finished(world):
    """Return a run that was made in one go, in one process."""
    config = parse_config(run_keys(world, world / "whole"))
    generate(config, "inline")
    return config


def digests(config: RunConfig) -> dict[str, str]:
    folder = Path(config.output.path)
    files = sorted([*folder.glob("data/*.parquet"), *folder.glob("rejects/*.parquet")])
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in files
    }


def rows_of(config: RunConfig, kind: str = "data") -> list[dict]:
    files = sorted(Path(config.output.path).glob(f"{kind}/*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def test_rows_hold_the_person_and_the_expression_that_the_image_was_to_show(finished):
    rows = rows_of(finished)
    assert len(rows) == 12
    plan, bank = build_plan(finished), make_bank(rows=80)
    specs = {plan.sample(index).sample_id: plan.sample(index) for index in range(12)}
    replaced = [row for row in rows if row["replacement"]]
    assert replaced == []
    for row in rows:
        spec = specs[row["sample_id"]]
        shown = spec.condition("flame", FlameExpression)
        assert np.array_equal(np.float32(row["flame"]), shown.numbers)
        place = bank.sources.index(row["flame_source"])
        assert np.array_equal(bank.flame[place], shown.numbers)
        np.testing.assert_allclose(row["faceid_embedding"], spec.faceid.mean, atol=1e-6)
        assert (row["pipeline"], row["prompt"]) == ("arc2face", "photo of a id person")
    assert len({row["identity_id"] for row in rows}) == 4
    assert sum(not any(row["aus"]) for row in rows) == 4
    assert len({row["image"]["bytes"] for row in rows}) == 12
    rejects = rows_of(finished, "rejects")
    assert rejects
    assert all(None not in row["flame"] and row["flame_source"] for row in rejects)


def test_the_record_says_what_the_data_is_a_function_of(finished):
    storage = Storage(finished.output.path)
    record = read_record(storage)
    weights = record.identity["weights"]
    assert {
        "arc2face/diffusion_pytorch_model.safetensors",
        "encoder/pytorch_model.bin",
        "expression/exp_adapter.bin",
        "base/vae/diffusion_pytorch_model.safetensors",
    } <= set(weights)
    assert {"diffusers", "transformers", "peft"} <= set(record.identity["versions"])
    assert make_bank(rows=80).digest in json.dumps(record.identity)
    assert record.licences["Arc2Face"] == "MIT"
    assert record.licences["face embeddings (arc2face)"] == "of the recogniser"
    card = storage.read("README.md").decode()
    assert "CreativeML OpenRAIL-M" in card
    assert inspect_dataset(finished.output.path).problems == ()
    assert read_status(finished.output.path).rows == 12


def test_it_is_loaded_by_datasets(finished, tmp_path):
    out = finished.output.path
    loaded = datasets.load_dataset(out, split="train", cache_dir=str(tmp_path))
    assert loaded.features["flame"] == datasets.List(datasets.Value("float32"), length=55)
    assert loaded[0]["image"].size == (16, 16)
    assert len(loaded) == 6


def test_samples_and_rejected_attempts_are_made_again(finished):
    row, reject = rows_of(finished)[4], rows_of(finished, "rejects")[0]
    assert reproduce(finished.output.path, row["sample_id"]).same
    again = reproduce(
        finished.output.path, reject["sample_id"], attempt=reject["attempt"],
        replacement=reject["replacement"],
    )  # fmt: skip
    assert again.same
    assert again.largest == 0


def test_a_run_that_was_extended_and_one_that_lost_a_shard_are_the_same(world, finished, tmp_path):
    config = parse_config(run_keys(world, tmp_path / "out", samples=7))
    generate(config, "inline")
    longer = parse_config(run_keys(world, tmp_path / "out"))
    generate(longer, "inline")
    assert digests(longer) == digests(finished)
    for name in ("data/test-00001.parquet", "rejects/test-00001.parquet"):
        (tmp_path / "out" / name).unlink(missing_ok=True)
    generate(longer, "inline")
    assert digests(longer) == digests(finished)


def test_latent_consistency_draws_on_the_way_and_stays_the_same(world, tmp_path):
    keys = run_keys(world, tmp_path / "out", samples=3)
    keys["pipeline"]["weights"] |= {"lcm_lora": str(world / "lcm")}
    keys["pipeline"] |= {"scheduler": "lcm"}
    config = parse_config(keys)
    assert generate(config, "inline").rows == 3
    row = rows_of(config)[1]
    assert reproduce(config.output.path, row["sample_id"]).same
    weights = read_record(Storage(config.output.path)).identity["weights"]
    assert "lcm_lora/pytorch_lora_weights.safetensors" in weights


def test_pictures_of_people_are_edited_named_and_made_again(world, tmp_path):
    pictures = [picture(number) for number in range(12)]
    store = write_people(tmp_path / "people.parquet", references=pictures)
    keys = run_keys(world, tmp_path / "out", samples=6)
    keys["identities"] |= {"store": str(store), "reference": True}
    keys["pipeline"]["weights"] |= {"reference": str(world / "ref_adapter")}
    config = parse_config(keys)
    assert generate(config, "inline").rows == 6
    rows = rows_of(config)
    names = {row["identity_id"]: row["reference_id"] for row in rows}
    assert len(set(names.values())) == len(names) == 2
    assert "reference" not in rows[0]
    assert len({row["image"]["bytes"] for row in rows}) == 6
    assert reproduce(config.output.path, rows[5]["sample_id"]).same
    record = read_record(Storage(config.output.path))
    assert "reference/pytorch_lora_weights.safetensors" in record.identity["weights"]
    assert record.licences["Arc2Face's Reference Adapter"] == "MIT"


def picture(number):
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (20 * number, 90, 200 - 10 * number)).save(buffer, "PNG")
    return buffer.getvalue()


def test_embeddings_of_another_recogniser_are_refused_and_nothing_is_written(world, tmp_path):
    other = "sha256:" + "cd" * 32
    keys = run_keys(world, tmp_path / "out")
    keys["identities"]["store"] = str(write_people(tmp_path / "people.parquet", embedder=other))
    with pytest.raises(FaceEmbeddingError) as caught:
        generate(parse_config(keys), "inline")
    said = str(caught.value)
    assert said.startswith("the embeddings of p")
    assert said.endswith(
        f" were made by {other!r}; Arc2Face understands those of its own recogniser alone, "
        f"{EMBEDDER!r}: make them with synthgen faces embed --embedder arc2face"
    )
    told = preflight(parse_config(keys), cluster=False)
    assert [found.text for found in told.findings if found.severity == "problem"] == [said]
    assert not (tmp_path / "out").exists()


def test_commands_look_at_it(world, tmp_path):
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump(run_keys(world, tmp_path / "out"), sort_keys=False)
    )
    planned = run("plan", "run.yaml", cwd=tmp_path)
    assert planned[0] == 0, planned
    shown = run("preview", "run.yaml", "-n", "2", "-o", "preview.png", cwd=tmp_path)
    assert shown[0] == 0, shown
    assert (tmp_path / "preview.png").exists()
    for more in (["--au", "AU12=3"], ["--sweep", "AU12"]):
        refused = run("image", "a man", "--config", "run.yaml", *more, "-o", "x.png", cwd=tmp_path)
        assert refused[0::2] == (
            2,
            "error: the pipeline 'arc2face' needs faceid and flame, and a prompt gives AUs alone; "
            "`synthgen preview` shows samples of its run\n",
        )
    report = preflight(parse_config(run_keys(world, tmp_path / "out")), cluster=False)
    assert [found.text for found in report.findings if found.severity == "problem"] == []
    assert report.estimate.rate is None


@pytest.mark.slow
@pytest.mark.ray
def test_on_ray_two_actors_killed_and_continued_give_the_same_bytes(world, finished, tmp_path):
    keys = run_keys(world, tmp_path / "out") | {"cluster": {"actors": 2}}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(keys, sort_keys=False))
    words = [sys.executable, "-m", "synthgen", "generate", "run.yaml", "--executor", "ray"]
    driver = subprocess.Popen(
        words, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True
    )
    markers = tmp_path / "out" / ".synthgen" / "shards"
    deadline = time.monotonic() + 300
    while not list(markers.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    assert 0 < len(list(markers.glob("*.json"))) < 4
    config = parse_config(keys)
    ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    try:
        generate(config, "ray")
    finally:
        ray.shutdown()
    assert digests(config) == digests(finished)
    longer = parse_config(run_keys(world, tmp_path / "out", samples=18))
    generate(longer, "inline")
    assert digests(finished).items() <= digests(longer).items()
    assert inspect_dataset(config.output.path).problems == ()
    last = rows_of(longer)[-1]
    assert reproduce(longer.output.path, last["sample_id"]).same
