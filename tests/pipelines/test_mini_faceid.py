"""The embedded face embedder, adapter and people: they fit one another and do what they are for."""

import json

import numpy as np
import pytest
import torch
from embedded import EDITION, MEASURED

from cluster.driver import generate
from pipelines import FineFaceIPAdapterPipeline
from pipelines.evaluation.faceid_report import drawn_pictures, likeness, numbers_of, people_requests
from pipelines.faceid.drawn import MINI_FILE, DrawnFaceEmbedder, embed_drawn
from pipelines.fineface.face_adapter import embedder_of
from pipelines.fineface.weights import embedded_face_adapter
from pipelines.weight_files import file_sha256
from samplers.identities import read_store
from synthgen.config import load_config
from synthgen.report.pictures import example_file

PEOPLE = 12
"""Unseen people whom the model is asked for here; the document has 100."""


@pytest.fixture(scope="module")
def embedder():
    return DrawnFaceEmbedder.from_pretrained("mini")


@pytest.fixture(scope="module")
def wanted(embedder):
    return embed_drawn(numbers_of(PEOPLE), embedder, EDITION)


def test_the_parts_belong_together(embedder):
    card = json.loads(MINI_FILE.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == file_sha256(MINI_FILE)
    people = read_store("mini")
    assert len(people) == 200
    assert people.about.synthetic
    assert people.about.embedder == embedder_of(embedded_face_adapter()) == embedder.fingerprint
    again = embed_drawn(range(3), embedder, EDITION)
    np.testing.assert_allclose(again, people.embeddings[:3], atol=1e-3)


def test_the_embedder_tells_unseen_people_apart_whatever_they_show(embedder, wanted):
    requests = people_requests(wanted, embedder.fingerprint, "a person", "sample", 0, MEASURED)
    faces = embedder.embed(drawn_pictures(MEASURED).generate(requests)).embeddings
    found = likeness(faces, np.repeat(np.arange(PEOPLE), 7), wanted)
    assert found.rank1 >= 0.99
    assert found.wanted.mean > 0.85


def test_images_show_the_person_asked_for(embedder, wanted):
    pipeline = FineFaceIPAdapterPipeline.from_pretrained("mini")
    assert (pipeline.config["num_inference_steps"], pipeline.config["guidance_scale"]) == (12, 1.2)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        ["a portrait of a person"] * PEOPLE,
        {"AU6": 3, "AU12": 4},
        wanted,
        num_inference_steps=10,
        guidance_scale=1.0,
        generator=[torch.Generator().manual_seed(i) for i in range(PEOPLE)],
    ).images
    found = likeness(embedder.embed(images).embeddings, np.arange(PEOPLE), wanted)
    assert found.wanted.mean > 0.65
    assert found.found > 0.9  # chance is 8 %


def test_the_example_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = ("samples=6", "output.splits={train: 1.0}", "pipeline.batch_size=6",
             "pipeline.num_inference_steps=8", "verify.max_attempts=2",
             "verify.on_exhausted=keep_best")  # fmt: skip
    assert generate(load_config(example_file("faceid-mini"), small), "inline").rows == 6
