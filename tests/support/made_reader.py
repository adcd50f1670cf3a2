"""A reader of faces whose numbers are known, and a small map: MediaPipe is not everywhere."""

import json
from pathlib import Path

import numpy as np

from pipelines.blendshapes.fitted_map import SIDE_NAMES
from pipelines.blendshapes.landmarker import BLENDSHAPES, Face

SMILE, OPEN, SQUINT = "mouthSmile^0.5", "jawOpen", "eyeSquint"


class MadeReader:
    """Reads red as a smile to the left, green as one to the right, blue as an open jaw.

    It takes the upper left pixel; a black one is no face.
    """

    def __init__(self):
        self.files = {"face_landmarker.task": "ab" * 32}
        self.packages = {"numpy": np.__version__}

    def read(self, image):
        red, green, blue = (value / 255 for value in image.getpixel((0, 0)))
        if red == green == blue == 0:
            return None
        shapes = np.zeros(len(BLENDSHAPES), np.float32)
        for name, value in (("mouthSmileLeft", red), ("mouthSmileRight", green), ("jawOpen", blue)):
            shapes[BLENDSHAPES.index(name)] = value
        marks = np.zeros((478, 3), np.float32)
        marks[0], marks[1] = (0.25, 0.5, 0), (0.75, 1, 0)
        return Face(1, shapes, marks, np.eye(3))


def write_map(path: Path, **changes) -> Path:
    """Write a map in which AU12 is five times the smile, and AU26 the open jaw; AU9 goes unseen."""
    kinds = {"AU12": (0.9, SMILE), "AU26": (0.8, OPEN), "AU9": (0.3, SQUINT)}
    content = {
        "licence": "Apache-2.0",
        "highest": dict.fromkeys(SIDE_NAMES, 1.0),
        "aus": {
            au: {"r": r, "constant": 0.0, "weights": {kind: 5.0}} for au, (r, kind) in kinds.items()
        },
        **changes,
    }
    path.write_text(json.dumps(content))
    return path
