"""The embedded FineFace: its files are those of its cards, and its faces do what AUs ask for."""

import json

import numpy as np
import pytest
import torch

from pipelines import FineFacePipeline, LibreFaceVerifier
from pipelines.fineface.weights import MINI_FOLDER
from pipelines.weight_files import file_sha256
from synthgen.action_units import DEFAULT_AUS, au_index

PROMPTS = (
    "a portrait of a young woman with brown hair and light skin",
    "a portrait of an old man with gray hair and pale skin",
    "a closeup of a middle-aged man with black hair and dark skin",
    "a photo of a middle-aged woman with red hair and tan skin",
)


@pytest.fixture(scope="module")
def pipeline():
    made = FineFacePipeline.from_pretrained("mini")
    made.set_progress_bar_config(disable=True)
    return made


def measured(pipeline, aus):
    images = pipeline(
        list(PROMPTS),
        aus,
        num_inference_steps=10,
        guidance_scale=1.2,
        generator=[torch.Generator().manual_seed(i) for i in range(len(PROMPTS))],
    ).images
    return LibreFaceVerifier.from_pretrained("mini").measure(images).aus_of(DEFAULT_AUS)


CARDS = sorted(MINI_FOLDER.rglob("card.json"))


@pytest.mark.parametrize("card", CARDS, ids=lambda path: path.parent.name)
def test_a_card_tells_of_the_file_beside_it(card):
    content = json.loads(card.read_text(encoding="utf-8"))
    sums = content["sha256"]
    for name, sha256 in (sums if isinstance(sums, dict) else {content["file"]: sums}).items():
        assert file_sha256(card.parent / name) == sha256


def test_an_au_that_is_asked_for_shows(pipeline):
    neutral = measured(pipeline, {})
    for name in ("AU2", "AU4", "AU12", "AU26"):
        place = au_index(name)
        rise = measured(pipeline, {name: 5.0})[:, place] - neutral[:, place]
        assert np.mean(rise) > 1.5, name


def test_the_embedded_weights_are_small():
    files = [path for path in MINI_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 60e6
