"""Images are painted once, in batches of one shape, and kept."""

import numpy as np
import pytest
from PIL import Image

from pipelines.evaluation.fineface import FineFaceEvaluation
from pipelines.evaluation.gallery import Candidate, Gallery, candidate_of
from pipelines.evaluation.protocols import single_requests, unseen_prompts
from pipelines.procedural.section import ProceduralConfig
from pipelines.procedural.source import ProceduralSource
from synthgen.errors import ConfigError, OutputError

CONFIG = ProceduralConfig(name="procedural", size=64)


class Counting:
    """Drawn faces; counts what is generated."""

    def __init__(self):
        self.batches = []
        settings = CONFIG.model_dump(mode="json")
        drawn = candidate_of("drawn", ProceduralSource(CONFIG), settings)

        def generate(requests):
            self.batches.append(len(requests))
            return drawn.generate(requests)

        self.candidate = Candidate(drawn.name, drawn.identity, generate)


@pytest.fixture(scope="module")
def requests():
    return single_requests(unseen_prompts(1, seed=0), (5.0,))[:5]


def pixels(batches):
    return [np.asarray(image).tolist() for _, images in batches for image in images]


def test_a_killed_evaluation_goes_on_with_the_same_images(tmp_path, requests):
    whole, first, then = Counting(), Counting(), Counting()
    wanted = pixels(Gallery(tmp_path / "whole", 2).batches(whole.candidate, requests))
    gallery = Gallery(tmp_path / "killed", 2)
    for _ in zip(range(2), gallery.batches(first.candidate, requests), strict=False):
        pass  # killed after two batches
    found = pixels(gallery.batches(then.candidate, requests))
    assert found == wanted
    assert (whole.batches, first.batches, then.batches) == ([2, 2, 2], [2, 2], [2])
    assert pixels(gallery.batches(then.candidate, requests)) == wanted
    assert then.batches == [2]


def test_batches_hold_what_was_asked_for_alone(tmp_path, requests):
    parts = list(Gallery(tmp_path, 3).batches(Counting().candidate, requests))
    assert [request for part, _ in parts for request in part] == requests
    assert [len(images) for _, images in parts] == [3, 2]


def test_a_broken_picture_is_painted_anew(tmp_path, requests):
    gallery, counting = Gallery(tmp_path, 5), Counting()
    wanted = pixels(gallery.batches(counting.candidate, requests))
    (file,) = tmp_path.glob("*.png")
    file.write_bytes(file.read_bytes()[:200])
    assert pixels(gallery.batches(counting.candidate, requests)) == wanted
    assert counting.batches == [5, 5]


def test_another_model_paints_its_own_images(tmp_path, requests):
    gallery, one = Gallery(tmp_path, 5), Counting().candidate
    picture = Image.linear_gradient("L").resize((8, 8)).convert("RGB")
    grey = Candidate("grey", {}, lambda requests: [picture] * len(requests))
    assert len(pixels(gallery.batches(one, requests))[0]) == 64
    assert len(pixels(gallery.batches(grey, requests))[0]) == 8
    assert len(list(tmp_path.iterdir())) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path, requests):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=f"^cannot write the images {tmp_path}/file/.*png: "):
        list(Gallery(tmp_path / "file", 5).batches(Counting().candidate, requests))


def test_the_text_alone_is_guided_where_that_is_asked_for():
    settings = FineFaceEvaluation(weights="mini", text_guidance=2.5)
    assert settings.command() == "synthgen evaluate fineface --weights mini --text-guidance 2.5"
    assert settings.pipeline().guidance() == settings.pipeline().text_guidance_scale == 2.5
    assert FineFaceEvaluation(weights="mini").pipeline().guidance() == 1.2
    with pytest.raises(ConfigError) as caught:
        FineFaceEvaluation(weights="mini", guidance=2, text_guidance=2.5)
    assert str(caught.value) == "guidance is 2 and text guidance is 2.5; give one of them"
