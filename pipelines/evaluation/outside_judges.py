"""Judges from outside: networks that others trained on photographs.

Their files are the user's own, and none is fetched. No training uses them. A judge that chose what
it scores says little about it: FaceLandmarker is a check too (`blendshapes`), and where a run used
it the evaluation says so.
"""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image

from pipelines.blendshapes.landmarker import FaceLandmarker, missing_package
from pipelines.weight_files import file_sha256
from synthgen.dataset import RunRecord
from synthgen.errors import WeightsError
from synthgen.foreign import first_line, regular_file

EMBEDDING = 128
"""Width of dlib's face embedding."""

NETWORK_FILE = "dlib_face_recognition_resnet_model_v1.dat"
LANDMARKS_FILE = "shape_predictor_5_face_landmarks.dat"


def _sides(name: str) -> tuple[str, str]:
    return f"{name}Left", f"{name}Right"


OWN_BLENDSHAPES: dict[str, tuple[str, ...]] = {
    "AU1": ("browInnerUp",),
    "AU2": _sides("browOuterUp"),
    "AU4": _sides("browDown"),
    "AU5": _sides("eyeWide"),
    "AU6": (*_sides("cheekSquint"), *_sides("eyeSquint")),
    "AU7": _sides("eyeSquint"),
    "AU9": _sides("noseSneer"),
    "AU10": _sides("mouthUpperUp"),
    "AU12": _sides("mouthSmile"),
    "AU14": _sides("mouthDimple"),
    "AU15": _sides("mouthFrown"),
    "AU16": _sides("mouthLowerDown"),
    "AU17": ("mouthShrugLower",),
    "AU18": ("mouthPucker",),
    "AU20": _sides("mouthStretch"),
    "AU22": ("mouthFunnel",),
    "AU24": _sides("mouthPress"),
    "AU25": (*_sides("mouthLowerDown"), *_sides("mouthUpperUp")),
    "AU26": ("jawOpen",),
    "AU27": ("jawOpen",),
    "AU28": ("mouthRollLower", "mouthRollUpper"),
    "AU29": ("jawForward",),
    "AU34": ("cheekPuff",),
    "AU43": _sides("eyeBlink"),
    "AU45": _sides("eyeBlink"),
}
"""AU → the blendshapes that name its movement, of which the mean is taken; AU23 has none.

Chosen by what blendshapes are said to be, not by what they read. `noseSneer` and `cheekSquint` are
dead in the published file: AU9 goes unread, AU6 is left to `eyeSquint`.
"""

DEAD = 0.01
"""A blendshape that is below this in every face is taken for dead."""


def load_landmarker(file: Path) -> FaceLandmarker:
    """Load FaceLandmarker, which reads one face of an image: the surest one.

    Args:
        file: `face_landmarker.task`.

    Raises:
        WeightsError: if the file is missing, or is no such bundle.
        MissingDependencyError: if mediapipe is not installed.
    """
    return FaceLandmarker(file, "--landmarker", "judges", faces=1)


class Recogniser:
    """dlib's face recogniser: embeddings that are nearer for one person than for two.

    Faces are found by dlib's HOG detector, in the image at twice its size, and aligned by five
    landmarks.

    Args:
        folder: holds `dlib_face_recognition_resnet_model_v1.dat` and
            `shape_predictor_5_face_landmarks.dat`.

    Raises:
        WeightsError: if a file is missing, or is not dlib's.
        MissingDependencyError: if dlib is not installed.
    """

    def __init__(self, folder: Path) -> None:
        for name in (NETWORK_FILE, LANDMARKS_FILE):
            regular_file(folder / name, "--recogniser", WeightsError)
        try:
            dlib: Any = import_module("dlib")
        except ImportError as error:
            raise missing_package("--recogniser", "dlib", "judges") from error
        self._detector = dlib.get_frontal_face_detector()
        self._network = _loaded(dlib.face_recognition_model_v1, folder / NETWORK_FILE)
        self._landmarks = _loaded(dlib.shape_predictor, folder / LANDMARKS_FILE)
        self.files = {name: file_sha256(folder / name) for name in (LANDMARKS_FILE, NETWORK_FILE)}
        self.package = f"dlib {dlib.__version__}"

    def read(self, image: Image) -> Float32[np.ndarray, "128"] | None:
        """Return the embedding of the largest face; None where no face is found."""
        pixels = np.ascontiguousarray(image.convert("RGB"))
        boxes = self._detector(pixels, 1)
        if not boxes:
            return None
        face = self._landmarks(pixels, max(boxes, key=lambda box: box.area()))
        return np.array(self._network.compute_face_descriptor(pixels, face), np.float32)


def _loaded(kind: Any, file: Path) -> Any:
    try:
        return kind(str(file))
    except RuntimeError as error:
        raise WeightsError(f"--recogniser {file} is not dlib's: {first_line(error)}") from error


def chose(record: RunRecord, files: Mapping[str, str], check: str | None = None) -> bool:
    """Tell from a dataset's record whether a judge took part in choosing its images.

    It did where a run's check that is this judge has a bound, and where any other check used one of
    its files.

    Args:
        record: of a run, or of a dataset that was merged from several.
        files: files of the judge → sha256.
        check: name of the check that is this judge; None: there is none.
    """
    for identity in (record.identity, *(source["identity"] for source in record.sources)):
        verify = identity.get("configuration", {}).get("verify", {})
        own = [each for each in verify.get("checks", ()) if each["name"] == check]
        if any(bound not in (None, {}) for each in own for bound in each["policy"].values()):
            return True
        if not own and set(files.values()) & set(identity.get("weights", {}).values()):
            return True
    return False
