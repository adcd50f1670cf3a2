"""Google's FaceLandmarker, run by MediaPipe's tasks: blendshapes, landmarks, pose of the head.

Its file is the user's own, and none is fetched. It judges datasets (`synthgen evaluate outside`)
and may choose images (check `blendshapes`); of images that it chose its judgement says little, and
the evaluation tells so.
"""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32
from PIL.Image import Image

from pipelines.weight_files import file_sha256
from synthgen.errors import MissingDependencyError, WeightsError
from synthgen.foreign import first_line, regular_file
from synthgen.installation import install_command

LANDMARKS = 478
"""Landmarks of a face."""

MAX_FACES = 8
"""Faces that a check looks for in an image; more are counted as this many."""


def _sides(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}{side}" for name in names for side in ("Left", "Right"))


BLENDSHAPES: tuple[str, ...] = (
    "_neutral",
    *_sides("browDown"), "browInnerUp", *_sides("browOuterUp"),
    "cheekPuff", *_sides("cheekSquint"),
    *_sides("eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp", "eyeSquint"),
    *_sides("eyeWide"), "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose",
    *_sides("mouthDimple", "mouthFrown"), "mouthFunnel", "mouthLeft",
    *_sides("mouthLowerDown", "mouthPress"), "mouthPucker", "mouthRight",
    "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    *_sides("mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer"),
)  # fmt: skip
"""The 52 blendshapes in FaceLandmarker's order; left and right are the person's own."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """The largest face of an image.

    Attributes:
        faces: faces found, of which this is the one whose landmarks span the largest box.
        blendshapes: values of `BLENDSHAPES` [0–1].
        landmarks: x and y of each landmark as shares of the image's width and height, from its
            upper left corner; z on the scale of x, smaller nearer to the camera.
        rotation: the head's axes (the person's left, up, forward) in those of the camera (right,
            up, towards it).
    """

    faces: int
    blendshapes: Float32[np.ndarray, "52"]
    landmarks: Float32[np.ndarray, "478 3"]
    rotation: Float[np.ndarray, "3 3"]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the landmarks, as shares of the image."""
        low, high = self.landmarks[:, :2].min(axis=0), self.landmarks[:, :2].max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    @property
    def pose(self) -> tuple[float, float, float]:
        """Return yaw, pitch and roll [degrees]; see `head_pose`."""
        return head_pose(self.rotation)


@runtime_checkable
class FaceReader(Protocol):
    """Reader of faces, such as `FaceLandmarker`.

    Attributes:
        files: its files → sha256.
        packages: packages that its numbers are a function of → version.
    """

    files: dict[str, str]
    packages: dict[str, str]

    def read(self, image: Image) -> Face | None:
        """Return the largest face of an image of any size; None where there is none."""
        ...


def head_pose(rotation: Float[np.ndarray, "3 3"]) -> tuple[float, float, float]:
    """Return the angles of R = R_y(yaw) · R_x(−pitch) · R_z(roll) [degrees].

    Yaw is positive where the face looks to the right of the image, pitch where it looks up, roll
    where the head leans to the left of the image.

    Args:
        rotation: see `Face`.
    """
    yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
    pitch = np.arcsin(np.clip(rotation[1, 2], -1, 1))
    roll = np.arctan2(rotation[1, 0], rotation[1, 1])
    return float(np.degrees(yaw)), float(np.degrees(pitch)), float(np.degrees(roll))


class FaceLandmarker:
    """FaceLandmarker on single images; what it reads depends on nothing that it read before.

    Args:
        file: `face_landmarker.task`.
        key: option or key that names it, for errors.
        extra: extra of this package that brings mediapipe, for errors.
        faces: faces that are looked for at most.

    Raises:
        WeightsError: if the file is missing, or is no such bundle.
        MissingDependencyError: if mediapipe is not installed.
    """

    def __init__(
        self,
        file: Path,
        key: str = "landmarker",
        extra: str = "alignment",
        faces: int = MAX_FACES,
    ) -> None:
        regular_file(file, key, WeightsError)
        try:
            from mediapipe.tasks.python import BaseOptions
            from mediapipe.tasks.python.vision import FaceLandmarker, FaceLandmarkerOptions
        except ImportError as error:
            raise missing_package(key, "mediapipe", extra) from error
        options = FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=file.read_bytes()),
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
            num_faces=faces,
        )
        try:
            self._network = FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{key} {file} is no face_landmarker.task: {first_line(error)}"
            ) from error
        self.files = {file.name: file_sha256(file)}
        self.packages = {name: version(name) for name in ("mediapipe", "numpy", "pillow")}

    def read(self, image: Image) -> Face | None:
        """Return the largest face of an image of any size; None where there is none."""
        from mediapipe import Image as MediaPipeImage
        from mediapipe import ImageFormat

        pixels = np.ascontiguousarray(image.convert("RGB"))
        found = self._network.detect(MediaPipeImage(image_format=ImageFormat.SRGB, data=pixels))
        if not found.face_blendshapes:
            return None
        meshes = [
            np.array([(mark.x, mark.y, mark.z) for mark in face], np.float32)
            for face in found.face_landmarks
        ]
        largest = int(np.argmax([np.prod(np.ptp(mesh[:, :2], axis=0)) for mesh in meshes]))
        shapes = {shape.category_name: shape.score for shape in found.face_blendshapes[largest]}
        axes = np.array(found.facial_transformation_matrixes[largest], np.float64)[:3, :3]
        return Face(
            faces=len(meshes),
            blendshapes=np.array([shapes[name] for name in BLENDSHAPES], np.float32),
            landmarks=meshes[largest],
            rotation=axes / np.linalg.norm(axes, axis=0),
        )


def missing_package(key: str, package: str, extra: str) -> MissingDependencyError:
    """Return the error of an option or key whose package is not installed."""
    return MissingDependencyError(
        f"{key} needs the package {package}, which is not installed; "
        f"install it with: {install_command(extra)}"
    )
