"""The recogniser that Arc2Face was trained with: `arcface.onnx` behind insightface's detector."""

from pathlib import Path
from typing import Any

from pipelines.faceid.photographs import InsightFaceEmbedder, load_analysis, session_options
from pipelines.hub import resolve
from pipelines.weight_files import check_weight_file
from synthgen.config.verify import INSIGHTFACE_MODEL
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

FILE = "arcface.onnx"
"""Name of the recogniser's file where Arc2Face is published."""

NAME = "arc2face"

LICENCE = "Arc2Face: MIT; insightface's detector: non-commercial research only"


def find_arcface(model: str, *, fetch: bool = True, setting: str | None = None) -> Path:
    """Return the recogniser's file.

    Args:
        model: the file, a folder that holds `arcface.onnx`, or a Hub id.
        fetch: whether to fetch it from the Hub where it is not here.
        setting: configuration key that names it, for the error.

    Raises:
        WeightsError: if it is missing and cannot be fetched, or is not to be.
    """
    path = Path(model).expanduser()
    if path.suffix == ".onnx" and path.is_file():
        return path
    return resolve(model, files=[FILE], setting=setting, fetch=fetch) / FILE


def load_arcface(
    model: str,
    detector: str | None = None,
    device: str = "cpu",
    licence: str | None = None,
    min_score: float = 0.5,
    threads: int = 1,
) -> InsightFaceEmbedder:
    """Load an embedder whose embeddings Arc2Face understands; its fingerprint is the file's.

    Args:
        model: as `find_arcface` takes it.
        detector: folder of ONNX files with a detector, or the name of insightface's model pack,
            which is downloaded; None: the recogniser's folder, where it holds another ONNX file,
            else the usual pack.
        device: `cpu` or a CUDA device.
        licence: licence of the models; None: that of the published ones.
        min_score: detector score from which a find counts as a face [0–1].
        threads: CPU threads; other numbers may change the last bits.

    Raises:
        MissingDependencyError: if insightface is not installed.
        WeightsError: if a file is missing, cannot be fetched, or is no detector or recogniser.
    """
    path = find_arcface(model)
    check_weight_file(path, "ONNX file")
    if detector is None:
        others = [file for file in path.parent.glob("*.onnx") if file.name != path.name]
        detector = str(path.parent) if others else INSIGHTFACE_MODEL
    analysis = load_analysis(detector, device, threads, ("detection",))
    analysis.models["recognition"] = _recogniser(path, device, threads)
    analysis.prepare(ctx_id=0, det_thresh=min_score)
    return InsightFaceEmbedder(analysis, NAME, licence or LICENCE)


def _recogniser(path: Path, device: str, threads: int) -> Any:
    from insightface.model_zoo import get_model  # pyright: ignore[reportMissingImports]

    try:
        found = get_model(str(path), **session_options(device, threads))
    except Exception as error:  # of onnx, of onnxruntime; asserts too
        raise WeightsError(f"{path} cannot be used by insightface: {first_line(error)}") from error
    if getattr(found, "taskname", None) != "recognition":
        raise WeightsError(
            f"{path} is no face recogniser; Arc2Face's {FILE} takes faces of 112×112 pixels and "
            "gives 512 numbers"
        )
    return found
