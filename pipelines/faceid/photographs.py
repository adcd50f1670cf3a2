"""Embed photographs with insightface's detector and recogniser (optional package)."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pipelines.checkpoints import file_sha256
from pipelines.faceid.embedder import (
    FaceEmbeddings,
    FoundFace,
    join_faces,
    normalised,
    sharpness_of,
)
from pipelines.pictures import all_rgb
from pipelines.weight_files import check_weight_file
from samplers.identities.face_identity import FACEID_WIDTH
from synthgen.errors import MissingDependencyError, WeightsError
from synthgen.foreign import first_line

LICENCE = "insightface models: non-commercial research only"

_TASKS = ("detection", "recognition")
_PACKAGES = ("insightface", "numpy", "onnxruntime", "pillow")


class InsightFaceEmbedder:
    """Embeds the largest face of each photograph.

    Where no face is found, it is looked for once more with a black border around the picture.

    Args:
        analysis: a prepared `insightface.app.FaceAnalysis` that detects and recognises.
        name: name of the embedder.
        licence: licence of the models.

    Raises:
        WeightsError: if the recogniser does not give 512 numbers.
    """

    def __init__(self, analysis: Any, name: str, licence: str) -> None:
        self.name = name
        self.licence = licence
        self._detector = analysis.models["detection"]
        self._recogniser = analysis.models["recognition"]
        files = tuple(Path(analysis.models[task].model_file) for task in _TASKS)
        self.files = files
        width = self._recogniser.output_shape[-1]
        if width != FACEID_WIDTH:
            raise WeightsError(
                f"{files[1]} gives {width} numbers a face; a FaceID embedding has {FACEID_WIDTH}"
            )
        self._weights = {file.name: file_sha256(file) for file in files}
        self.fingerprint = f"sha256:{self._weights[files[1].name]}"

    @classmethod
    def from_pretrained(
        cls,
        model: str = "buffalo_l",
        device: str = "cpu",
        licence: str | None = None,
        min_score: float = 0.5,
        threads: int = 1,
    ) -> "InsightFaceEmbedder":
        """Load an embedder.

        Args:
            model: folder of ONNX files, or the name of a model pack, which is downloaded.
            device: `cpu` or a CUDA device.
            licence: licence of the models; None: insightface's own.
            min_score: detector score from which a find counts as a face [0–1].
            threads: CPU threads; other numbers may change the last bits.

        Raises:
            MissingDependencyError: if insightface is not installed.
            WeightsError: if the models are missing, cannot be fetched, or do not fit.
        """
        analysis = _analysis(model, device, threads)
        analysis.prepare(ctx_id=0, det_thresh=min_score)
        name = f"insightface-{Path(model).expanduser().name}"
        return cls(analysis, name, licence or LICENCE)

    def embed(self, images: Sequence[Image.Image]) -> FaceEmbeddings:
        """Embed the largest face of each image, one image after another."""
        return join_faces([self._largest(image) for image in all_rgb(images)])

    def provenance(self) -> dict[str, Any]:
        """Return what embeddings are a function of."""
        import cv2  # its distribution bears one of several names

        versions = {name: version(name) for name in _PACKAGES}
        return {
            "weights": dict(self._weights),
            "licences": {self.name: self.licence},
            "versions": {**versions, "opencv": cv2.__version__},
        }

    def _largest(self, image: Image.Image) -> FoundFace | None:
        from insightface.app.common import Face  # pyright: ignore[reportMissingImports]
        from insightface.utils import face_align  # pyright: ignore[reportMissingImports]

        pixels = np.ascontiguousarray(np.asarray(image)[..., ::-1])  # BGR
        boxes, points = self._detector.detect(pixels)
        if not len(boxes):  # detectors miss a face that fills its picture
            pixels = _with_border(pixels)
            boxes, points = self._detector.detect(pixels)
        if not len(boxes):
            return None
        sides = boxes[:, 2:4] - boxes[:, :2]  # [faces, 2]
        largest = int(sides.prod(axis=1).argmax())
        face = Face(bbox=boxes[largest, :4], kps=points[largest], det_score=boxes[largest, 4])
        crop = face_align.norm_crop(pixels, landmark=face.kps, image_size=112)
        return FoundFace(
            embedding=normalised(self._recogniser.get(pixels, face)),
            faces=len(boxes),
            side=float(sides[largest].min()),
            score=float(boxes[largest, 4]),
            sharpness=sharpness_of(Image.fromarray(crop[..., ::-1].copy())),
        )


def _with_border(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return a picture in the middle of a black one of twice its height and width."""
    height, width = pixels.shape[:2]
    across = (width // 2, width - width // 2)
    return np.pad(pixels, ((height // 2, height - height // 2), across, (0, 0)))


def _analysis(model: str, device: str, threads: int) -> Any:
    try:
        import onnxruntime  # pyright: ignore[reportMissingImports]
        from insightface.app import FaceAnalysis  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            "embedding photographs needs insightface, which is not installed: "
            "pip install 'synthgen[faceid]'"
        ) from error
    folder = Path(model).expanduser()
    for file in sorted(folder.glob("*.onnx")) if folder.is_dir() else ():
        check_weight_file(file, "ONNX file")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    try:
        analysis = FaceAnalysis(
            name=model,
            allowed_modules=list(_TASKS),
            providers=_providers(device),
            sess_options=options,
        )
    except Exception as error:  # of its downloader, of onnx, of onnxruntime; asserts too
        raise WeightsError(_unusable(model, error)) from error
    if "recognition" not in analysis.models:
        raise WeightsError(f"{model} holds no recogniser among its ONNX files")
    return analysis


def _providers(device: str) -> list[str]:
    return [*(["CUDAExecutionProvider"] if device != "cpu" else []), "CPUExecutionProvider"]


def _unusable(model: str, error: Exception) -> str:
    cause = first_line(error)
    if not Path(model).expanduser().is_dir():
        return (
            f"insightface model {model!r} is no folder here and cannot be fetched ({cause}); "
            "give the path of a folder that holds its ONNX files"
        )
    if isinstance(error, AssertionError):
        return f"{model} holds no face detector among its ONNX files"
    return f"{model} cannot be used by insightface: {cause}"
