"""From photographs to an edited dataset with tiny weights of Arc2Face, and edits of one picture."""

import io
from pathlib import Path

import numpy as np
import pytest
import yaml
from arc2face_run import make_world, run_keys
from commands import run
from PIL import Image
from pyarrow import parquet
from tiny_face_embedder import face_embedder, portrait

from cluster.driver import generate
from cluster.preflight import preflight
from samplers.identities import read_store
from synthgen.config import parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record
from synthgen.report.reproduction import reproduce


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Return tiny weights, a bank, photographs, and the store of their people and pictures."""
    folder = make_world(tmp_path_factory.mktemp("world"))
    face_embedder(folder)
    (folder / "photos").mkdir()
    for person in range(8):
        portrait(person, 160).save(folder / "photos" / f"person{chr(97 + person)}.png")
    done = run(
        "faces", "embed", "photos", "--keep-images", "--to", "people.parquet",
        "--embedder", "mini", "--model", "tiny.safetensors", cwd=folder,
    )  # fmt: skip
    assert done[0] == 0, done
    return folder


def keys_of(world: Path, out: Path, samples: int = 12, edited: bool = True) -> dict:
    keys = run_keys(world, out, samples)
    embedder = read_store(world / "people.parquet").about.embedder
    keys["pipeline"]["weights"] |= {"embedder": embedder}
    if edited:
        keys["identities"] |= {"reference": True}
        keys["pipeline"]["weights"] |= {"reference": str(world / "ref_adapter")}
    return keys


def rows_of(config, kind="data"):
    files = sorted(Path(config.output.path).glob(f"{kind}/*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


@pytest.fixture(scope="module")
def finished(world):
    keys = keys_of(world, world / "whole")
    judge = {"kind": "mini", "weights": str(world / "tiny.safetensors")}
    keys["verify"] |= {"identity": {"embedder": judge}}
    keys["verify"]["policy"] |= {"min_identity_similarity": -0.9}
    config = parse_config(keys)
    generate(config, "inline")
    return config


def test_photographs_become_a_dataset_of_edits(world, finished):
    rows = rows_of(finished)
    assert len(rows) == 12
    store = read_store(world / "people.parquet")
    names = {
        store.face(name).qualified_id: store.reference(name).reference_id for name in store.rows
    }
    for row in rows:
        assert row["reference_id"] == names[row["identity_id"]]
        assert "reference" not in row
        assert -0.9 <= row["identity_similarity"] <= 1
    record = read_record(Storage(finished.output.path))
    assert "reference/pytorch_lora_weights.safetensors" in record.identity["weights"]
    assert record.identity["stores"]["identities.reference"] == store.reference_digest
    assert inspect_dataset(finished.output.path).problems == ()
    assert reproduce(finished.output.path, rows[5]["sample_id"]).same


def test_the_picture_makes_the_difference(world, finished, tmp_path):
    plain = parse_config(keys_of(world, tmp_path / "plain", edited=False))
    generate(plain, "inline")
    assert len(rows_of(plain)) == 12

    def shades(config):
        found = {row["identity_id"]: row["image"]["bytes"] for row in rows_of(config)}
        return {who: np.asarray(Image.open(io.BytesIO(data)), int) for who, data in found.items()}

    one, other = shades(finished), shades(plain)
    assert one.keys() == other.keys()
    assert all(np.abs(one[who] - other[who]).mean() > 1 for who in one)


def test_an_edited_dataset_is_extended(world, finished, tmp_path):
    config = parse_config({**finished.model_dump(mode="json"), "samples": 7,
                           "output": {**finished.output.model_dump(mode="json"),
                                      "path": str(tmp_path / "out")}})  # fmt: skip
    generate(config, "inline")
    generate(config.model_copy(update={"samples": 12}), "inline")
    assert rows_of(config) == rows_of(finished)


def test_a_run_of_edits_without_the_adapter_is_refused(world, tmp_path):
    keys = keys_of(world, tmp_path / "out")
    del keys["pipeline"]["weights"]["reference"]
    report = preflight(parse_config(keys), cluster=False)
    problems = [found.text for found in report.findings if found.severity == "problem"]
    assert problems == [
        "identities give reference images, and pipeline.weights.reference names no Reference "
        "Adapter to show them; set it, as to FoivosPar/Arc2Face"
    ]


def test_one_picture_is_edited_by_the_pipeline_of_a_run(world, tmp_path):
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump(keys_of(world, tmp_path / "out", edited=False))
    )
    words = ["edit", str(world / "photos" / "persona.png"), "--config", "run.yaml"]
    words += ["--embedder", "mini", "--model", str(world / "tiny.safetensors")]
    adapter = ["--set", f"pipeline.weights.reference={world / 'ref_adapter'}"]
    code, _, said = run(*words, "-o", "out.png", "--au", "AU12=1", cwd=tmp_path)
    assert (code, said) == (
        2,
        "error: identities give reference images, and pipeline.weights.reference names no "
        "Reference Adapter to show them; set it, as to FoivosPar/Arc2Face\n",
    )
    assert not (tmp_path / "out.png").exists()
    asked = ["--au", "AU12=1", "--from", "neutral", "--frames", "3", *adapter]
    code, output, said = run(*words, "-o", "out.png", *asked, cwd=tmp_path)
    assert (code, output) == (0, "out-00.png … out-02.png: 3 pictures\n"), said
    frames = [(tmp_path / f"out-0{number}.png").read_bytes() for number in range(3)]
    assert len(set(frames)) == 3
    assert Image.open(io.BytesIO(frames[0])).size == (16, 16)
    longer = [*asked[:-3], "5", *adapter]
    assert run(*words, "-o", "more.png", *longer, cwd=tmp_path)[0] == 0
    more = [(tmp_path / f"more-0{number}.png").read_bytes() for number in range(5)]
    assert [more[0], more[2], more[4]] == frames


def test_a_picture_of_another_recogniser_is_refused(world, tmp_path):
    keys = keys_of(world, tmp_path / "out")
    keys["pipeline"]["weights"]["embedder"] = f"sha256:{'cd' * 32}"
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(keys))
    words = [
        "edit",
        str(world / "photos" / "persona.png"),
        "--config",
        "run.yaml",
        "--au",
        "AU12=1",
    ]
    words += ["--embedder", "mini", "--model", str(world / "tiny.safetensors"), "-o", "out.png"]
    code, _, said = run(*words, cwd=tmp_path)
    assert code == 2
    assert "Arc2Face understands those of its own recogniser alone" in said
    assert not (tmp_path / "out.png").exists()
