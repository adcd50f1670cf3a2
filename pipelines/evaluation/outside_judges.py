"""Judges from outside: networks that others trained on photographs. They judge, and nothing else.

Their files are the user's own, and none is fetched. No training, check or policy uses them: a
judge that chose what it scores would say nothing about it.
"""

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from PIL.Image import Image

from pipelines.weight_files import file_sha256
from synthgen.errors import MissingDependencyError, WeightsError
from synthgen.foreign import first_line, regular_file
from synthgen.installation import install_command

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


class FaceLandmarker:
    """Google's FaceLandmarker, run by MediaPipe's tasks: blendshapes of the surest face.

    Args:
        file: `face_landmarker.task`.

    Raises:
        WeightsError: if the file is missing, or is no such bundle.
        MissingDependencyError: if mediapipe is not installed.
    """

    def __init__(self, file: Path) -> None:
        regular_file(file, "--landmarker", WeightsError)
        try:
            from mediapipe.tasks.python import BaseOptions
            from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions
        except ImportError as error:
            raise _missing("--landmarker", "mediapipe") from error
        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=file.read_bytes()),
            output_face_blendshapes=True,
            num_faces=1,
        )
        try:
            self._network = FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"--landmarker {file} is no face_landmarker.task: {first_line(error)}"
            ) from error
        self.files = {file.name: file_sha256(file)}
        self.package = f"mediapipe {version('mediapipe')}"

    def read(self, image: Image) -> dict[str, float] | None:
        """Return name → value of each of 52 blendshapes, 0 to 1; None where no face is found."""
        from mediapipe import Image as MediaPipeImage
        from mediapipe import ImageFormat

        pixels = np.ascontiguousarray(image.convert("RGB"))
        found = self._network.detect(MediaPipeImage(image_format=ImageFormat.SRGB, data=pixels))
        if not found.face_blendshapes:
            return None
        return {shape.category_name: float(shape.score) for shape in found.face_blendshapes[0]}


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
            raise _missing("--recogniser", "dlib") from error
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


def _missing(option: str, package: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"{option} needs the package {package}, which is not installed; "
        f"install it with: {install_command('judges')}"
    )
