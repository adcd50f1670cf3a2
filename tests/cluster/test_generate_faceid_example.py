"""`examples/faceid-mini.yaml` on tiny weights that stand where the embedded ones do."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tiny_face_embedder import face_embedder
from tiny_faceid import make_face_adapter
from tiny_mini import make_mini

from cluster.driver import generate
from pipelines.faceid.drawn import DrawnFaceEmbedder, drawn_store
from pipelines.fineface.section import FaceIdConfig
from samplers.identities import read_store, write_store
from synthgen.config import load_config
from synthgen.dataset import inspect_dataset
from synthgen.errors import FaceEmbeddingError, WeightsError
from synthgen.report.pictures import example_file, write_example

EXAMPLE = Path(__file__).parents[2] / "examples" / "faceid-mini.yaml"
TINY = (
    "samples=12",
    "output.splits={train: 0.5, test: 0.5}",
    "pipeline.num_inference_steps=1",
    "pipeline.batch_size=4",
    "verify.policy={max_active_error: 5, max_inactive: 5, min_active: null}",
    "verify.max_attempts=1",
    "verify.on_exhausted=keep_best",
)


@pytest.fixture
def world(tmp_path, monkeypatch):
    """Put tiny weights and people at the places of the embedded ones."""
    embedder = face_embedder(tmp_path)
    mini = make_mini(tmp_path / "weights")
    make_face_adapter(mini / "faceid", "ip_adapter.safetensors", embedder.fingerprint)
    monkeypatch.setattr("pipelines.fineface.weights.MINI_FOLDER", mini)
    monkeypatch.setattr("pipelines.faceid.drawn.MINI_FILE", tmp_path / "tiny.safetensors")
    path = tmp_path / "people.parquet"
    monkeypatch.setattr("samplers.identities.store.MINI_PEOPLE", path)
    write_store(path, drawn_store(8, DrawnFaceEmbedder.from_pretrained("mini")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_example_is_made_of_embedded_parts_alone():
    config = load_config(EXAMPLE)
    assert isinstance(config.pipeline, FaceIdConfig)
    assert (config.pipeline.weights, config.pipeline.guidance_scale) == ("mini", 1.0)
    assert config.identities.noise == "identity"
    assert example_file("faceid-mini") == EXAMPLE


def test_the_example_shows_drawn_people(world):
    summary = generate(load_config(write_example("faceid-mini", None), TINY), "inline")
    assert summary.rows == 12
    files = sorted(Path("out/mini-people").glob("data/*.parquet"))
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    names = {row["identity_id"] for row in rows}
    assert len(names) == 2
    assert {name.rpartition("@")[0] for name in names} <= {f"drawn-{n:08d}" for n in range(8)}
    assert sum(not any(row["aus"]) for row in rows) == 2
    assert all(row["identity_similarity"] is not None for row in rows)
    assert inspect_dataset("out/mini-people").problems == ()


def test_people_of_another_embedder_are_refused(world):
    second = face_embedder(world, seed=1, name="second")
    write_store(world / "others.parquet", drawn_store(8, second))
    config = load_config(EXAMPLE, [*TINY, "identities.store=others.parquet"])
    with pytest.raises(FaceEmbeddingError, match=second.fingerprint):
        generate(config, "inline")


def test_a_missing_embedder_is_said(world):
    (world / "tiny.safetensors").unlink()
    with pytest.raises(WeightsError) as caught:
        generate(load_config(EXAMPLE, TINY), "inline")
    assert str(caught.value) == (
        f"mini face embedder {world}/tiny.safetensors is missing; `synthgen train face-embedder` "
        "makes it"
    )
    assert len(read_store("mini")) == 8
