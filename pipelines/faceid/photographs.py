"""Face embeddings of photographs with insightface (optional package): embedder, quality, stores."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from pipelines.faceid.embedder import (
    FaceEmbedder,
    FaceEmbeddings,
    FoundFace,
    join_faces,
    normalised,
    sharpness_of,
)
from pipelines.faceid.references import reference_image, several_faces
from pipelines.pictures import ENDINGS, all_rgb, open_picture
from pipelines.weight_files import check_weight_file, file_sha256
from samplers.identities.embeddings import StoreAbout, same_rows
from samplers.identities.identity import FACEID_WIDTH
from samplers.identities.reference import ReferenceImage
from samplers.identities.store import FaceStore
from synthgen.errors import MissingDependencyError, PictureError, StoreError, WeightsError
from synthgen.foreign import excerpt, first_line, reading, regular_file
from synthgen.installation import install_command


@dataclass(frozen=True, slots=True)
class Quality:
    """Bounds that the largest face of a photograph must keep.

    Recognisers see 112×112 pixels, so a face of fewer than 64 is mostly made up by enlarging it.
    Detectors give clear frontal faces about 0.7 to 0.9 and find little that is a face below 0.5.
    A sharp face has a Laplacian variance of some hundreds, one that no longer shows its lashes some
    tens. All three are rules of thumb: look at what a collection loses by them.

    Attributes:
        min_side: shorter side of the face's box [pixels].
        min_score: how sure the detector is [0–1].
        min_sharpness: variance of the Laplacian of the aligned face [grey values²].
    """

    min_side: float = 64.0
    min_score: float = 0.6
    min_sharpness: float = 30.0


def fault(found: FaceEmbeddings, place: int, quality: Quality) -> str | None:
    """Say why a face is not good enough; None where it is.

    Args:
        found: what an embedder found.
        place: number of the image.
        quality: the bounds.
    """
    side, score = float(found.sides[place]), float(found.scores[place])
    sharpness = float(found.sharpness[place])
    if not found.faces[place]:
        return "no face was found"
    if side < quality.min_side:
        return f"the face is {side:.0f} pixels wide; at least {quality.min_side:g} are needed"
    if score < quality.min_score:
        return f"the detector is sure of the face to {score:.2f}; at least {quality.min_score:g}"
    if sharpness < quality.min_sharpness:
        return f"the face is blurred: sharpness {sharpness:.1f}, at least {quality.min_sharpness:g}"
    return None


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
        analysis = load_analysis(model, device, threads)
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
        corner = np.zeros(2)
        if not len(boxes):  # detectors miss a face that fills its picture
            pixels = _with_border(pixels)
            corner = np.array(image.size) // 2
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
            points=_eyes_and_mouth(face.kps) - corner,
        )


def _eyes_and_mouth(points: Float[np.ndarray, "5 2"]) -> Float[np.ndarray, "3 2"]:
    """Return both eyes and the middle of the mouth of a detector's eyes, nose, mouth corners."""
    return np.stack([points[0], points[1], (points[3] + points[4]) / 2]).astype(np.float64)


def _with_border(pixels: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Return a picture in the middle of a black one of twice its height and width."""
    height, width = pixels.shape[:2]
    across = (width // 2, width - width // 2)
    return np.pad(pixels, ((height // 2, height - height // 2), across, (0, 0)))


def load_analysis(model: str, device: str, threads: int, tasks: Sequence[str] = _TASKS) -> Any:
    """Load an `insightface.app.FaceAnalysis`.

    Args:
        model: folder of ONNX files, or the name of a model pack, which is downloaded.
        device: `cpu` or a CUDA device.
        threads: CPU threads.
        tasks: `detection`, and `recognition` where that is wanted too.

    Raises:
        MissingDependencyError: if insightface is not installed.
        WeightsError: if the models are missing, cannot be fetched, or do not fit.
    """
    try:
        import onnxruntime  # noqa: F401  # pyright: ignore[reportMissingImports]
        from insightface.app import FaceAnalysis  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            "embedding photographs needs insightface, which is not installed: "
            f"{install_command('faceid')}"
        ) from error
    folder = Path(model).expanduser()
    for file in sorted(folder.glob("*.onnx")) if folder.is_dir() else ():
        check_weight_file(file, "ONNX file")
    try:
        analysis = FaceAnalysis(
            name=model, allowed_modules=list(tasks), **session_options(device, threads)
        )
    except Exception as error:  # of its downloader, of onnx, of onnxruntime; asserts too
        raise WeightsError(_unusable(model, error)) from error
    if "recognition" in tasks and "recognition" not in analysis.models:
        raise WeightsError(f"{model} holds no recogniser among its ONNX files")
    return analysis


def session_options(device: str, threads: int) -> dict[str, Any]:
    """Return how onnxruntime is to compute; on the CPU where the device is none of its own."""
    import onnxruntime  # pyright: ignore[reportMissingImports]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    gpu = ["CUDAExecutionProvider"] if device != "cpu" else []
    return {"providers": [*gpu, "CPUExecutionProvider"], "sess_options": options}


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


_NUMBERED = re.compile(r"(.*[^\W\d].*?)[\W_]*\d+\W*$")
"""A name with a letter in it that ends in a number."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photograph and whom it shows.

    Attributes:
        path: the file.
        name: its path below the folder.
        identity_id: the folder that it lies in, or its own name without an ending.
    """

    path: Path
    name: str
    identity_id: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A photograph that was not taken, and why."""

    name: str
    reason: str


def find_photos(path: Path, one_face_each: bool = False) -> tuple[list[Photo], list[LeftOut]]:
    """Find photographs, in order of their names.

    A photograph in a folder of its own below `path` shows the person whom that folder is named
    after; one that lies in `path` itself is a person of its own.

    Args:
        path: a photograph, or a folder of them.
        one_face_each: whether those in `path` itself are, also where they are numbered as several
            photographs of one person are: `ann_1.jpg`, `ann_2.jpg`, `ben_1.jpg`, `ben_2.jpg`.

    Returns:
        The photographs, and what has their ending and is none: pipes and such, and files whose
        names cannot be stored.

    Raises:
        StoreError: if there is none, two people would bear one name, or it is not sure who is who.
    """
    with reading(path, StoreError):
        is_folder, exists = path.is_dir(), path.exists()
    if not is_folder:
        if not exists:
            raise StoreError(f"{path} does not exist; it must be a photograph or a folder of them")
        regular_file(path, "the photograph", StoreError)
        return _parted([path], path.parent)
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() in ENDINGS)
    files = [file for file in files if not file.is_dir()]
    if not files:
        raise StoreError(f"{path} holds no photograph: no file that ends in {', '.join(ENDINGS)}")
    photos, left = _parted(files, path)
    _refuse_shared_names(photos, path)
    if not one_face_each:
        _refuse_numbered(photos, path)
    return photos, left


def embed_photos(
    path: Path,
    embedder: FaceEmbedder,
    quality: Quality,
    licence: str | None = None,
    synthetic: bool = False,
    merge: float | None = None,
    one_face_each: bool = False,
    keep_images: bool = False,
) -> tuple[FaceStore, list[LeftOut]]:
    """Embed the largest face of each photograph.

    Args:
        path: a photograph, or a folder of them as `find_photos` reads it.
        embedder: what embeds.
        quality: bounds that a face must keep.
        licence: licence of the photographs, beside the embedder's; None: none is named.
        synthetic: whether nobody real is shown.
        merge: cosine from which two faces are one person's; None: nobody is merged.
        one_face_each: as `find_photos` takes it.
        keep_images: whether the store keeps a reference image of each person: the photograph of the
            largest face, of equal ones the first by name. Those of several faces are left out.

    Returns:
        The store, and the photographs that are not in it.

    Raises:
        StoreError: if there are no photographs, none of them can be taken, or it is not sure who
            is who.
    """
    photos, left = find_photos(path, one_face_each)
    kept = _embedded(photos, embedder, quality, left, alone=keep_images)
    kept, repeated = _without_repeats(kept) if merge is None else (kept, [])
    left += repeated
    if not kept:
        raise StoreError(
            f"none of the photographs in {path} can be taken; the first, {left[0].name}: "
            f"{left[0].reason}"
        )
    about = StoreAbout(
        embedder=embedder.fingerprint,
        embedder_name=embedder.name,
        licence="; ".join(filter(None, [embedder.licence, licence])),
        synthetic=synthetic,
        source=f"{len(kept)} photographs",
    )
    store = FaceStore.build(
        np.stack([one.embedding for one in kept]),
        [one.photo.identity_id for one in kept],
        about,
        photos=[one.photo.name for one in kept],
        where=str(path),
        merge=merge,
    )
    if keep_images:
        store = _with_references(store, {one.photo.name: one for one in kept})
    return store, sorted(left, key=lambda one: one.name)


@dataclass(frozen=True, slots=True, eq=False)
class _Embedded:
    """A photograph that is taken; side and points as in `FaceEmbeddings`."""

    photo: Photo
    embedding: np.ndarray
    side: float
    points: np.ndarray


def _embedded(
    photos: Sequence[Photo],
    embedder: FaceEmbedder,
    quality: Quality,
    left: list[LeftOut],
    *,
    alone: bool,
) -> list[_Embedded]:
    """Embed photographs one at a time, so that memory holds one; what is not taken is left out."""
    kept = []
    for photo in photos:
        try:
            found = embedder.embed([open_picture(photo.path)])
        except PictureError as error:
            left.append(LeftOut(photo.name, str(error)))
            continue
        reason = fault(found, 0, quality) or (several_faces(found, 0) if alone else None)
        if reason is None:
            side, points = float(found.sides[0]), found.points[0]
            kept.append(_Embedded(photo, found.embeddings[0], side, points))
        else:
            left.append(LeftOut(photo.name, reason))
    return kept


def _without_repeats(kept: list[_Embedded]) -> tuple[list[_Embedded], list[LeftOut]]:
    if not kept:
        return kept, []
    rows = np.stack([one.embedding for one in kept]).astype(np.float64)
    again = {second: first for first, second in same_rows(rows)}
    left = [
        LeftOut(kept[second].photo.name, f"it shows the very face of {kept[first].photo.name}")
        for second, first in again.items()
    ]
    return [one for place, one in enumerate(kept) if place not in again], left


def _with_references(store: FaceStore, kept: Mapping[str, _Embedded]) -> FaceStore:
    """Return a store with a reference image in the row of each person's largest face."""
    photos = [kept[str(name)] for name in store.photos or ()]
    references: list[ReferenceImage | None] = [None] * len(photos)
    for rows in store.rows.values():
        row = min(rows, key=lambda row: (-photos[row].side, photos[row].photo.name))
        one = photos[row]
        references[row] = reference_image(open_picture(one.photo.path), one.points)
    return replace(store, references=tuple(references))


def _parted(files: Sequence[Path], folder: Path) -> tuple[list[Photo], list[LeftOut]]:
    photos, left = [], []
    for file in files:
        below = file.relative_to(folder)
        try:
            regular_file(file, "the file", StoreError)
            str(below).encode()
        except UnicodeEncodeError:
            left.append(LeftOut(excerpt(below), "its name is not UTF-8; rename it"))
        except StoreError as error:
            left.append(LeftOut(excerpt(below), str(error)))
        else:
            person = below.stem if len(below.parts) == 1 else below.parts[0]
            photos.append(Photo(file, str(below), person))
    return photos, left


def _refuse_shared_names(photos: Sequence[Photo], folder: Path) -> None:
    """Refuse `anna.jpg` beside `anna.png`, or beside a folder `anna`: one person or two?"""
    alone = {}
    for photo in photos:
        own = photo.path.parent == folder
        other = alone.setdefault(photo.identity_id, photo if own else None)
        if other is not photo and (own or other is not None):
            raise StoreError(
                f"{folder} names {photo.identity_id!r} twice: {(other or photo).name} and "
                f"{photo.name}; rename one, or put the photographs of a person into one folder"
            )


def _refuse_numbered(photos: Sequence[Photo], folder: Path) -> None:
    """Refuse files that seem to be several people's, each with several numbered photographs."""
    alike: dict[str, list[Photo]] = {}
    for photo in photos:
        numbered = _NUMBERED.match(photo.path.stem)
        if numbered and photo.path.parent == folder:
            alike.setdefault(numbered[1].casefold(), []).append(photo)
    several = [found for found in alike.values() if len(found) > 1]
    if len(several) > 1:
        first, second = several[0][:2]
        raise StoreError(
            f"{folder} does not say for sure who is who: {len(several)} names are numbered, such "
            f"as {excerpt(first.name, 60)} and {excerpt(second.name, 60)}, as several photographs "
            "of one person are; put the photographs of each person into a folder of its own, or "
            "say that each shows another person (--one-face-each)"
        )
