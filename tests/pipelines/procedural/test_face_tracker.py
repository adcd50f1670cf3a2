"""An off-the-shelf face tracker finds the drawn faces."""

import numpy as np
import pytest

from pipelines.procedural import random_identity, render
from pipelines.procedural.geometry import geometry
from synthgen.action_units import AU_COUNT

COUNT = 100
EYE_CORNERS = (33, 133, 362, 263)
MOUTH_CORNERS = (61, 291)


def test_face_mesh_finds_the_faces_where_the_geometry_says_they_are():
    face_mesh = pytest.importorskip(
        "mediapipe.python.solutions.face_mesh", reason="needs mediapipe"
    )
    draws = np.random.default_rng(11)
    found, eye_errors, mouth_errors = 0, [], []
    with face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1) as tracker:
        for seed in range(COUNT):
            aus = np.where(draws.random(AU_COUNT) < 0.3, draws.uniform(0.5, 5, AU_COUNT), 0.0)
            identity = random_identity(50_000 + seed)
            image = np.asarray(render(identity, aus.tolist(), 256))
            marks = tracker.process(image).multi_face_landmarks
            if not marks:
                continue
            found += 1
            at = np.array([(mark.x, mark.y) for mark in marks[0].landmark])
            points = geometry(identity, aus.tolist()).points()
            eyes = np.mean([points["eye_left"], points["eye_right"]], axis=0)
            mouth = np.mean([points["mouth_left"], points["mouth_right"]], axis=0)
            eye_errors.append(np.abs(at[list(EYE_CORNERS)].mean(0) - eyes).max())
            mouth_errors.append(np.abs(at[list(MOUTH_CORNERS)].mean(0) - mouth).max())
    assert found >= 0.99 * COUNT, f"{found} of {COUNT} faces found"
    assert np.median(eye_errors) < 0.03
    assert np.median(mouth_errors) < 0.04
