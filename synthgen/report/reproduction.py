"""Make one sample of a dataset again, from what is stored with it."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cluster.batches import encode_image
from cluster.worker import load_worker
from samplers.plan import build_plan
from synthgen.dataset import Storage, find_sample, layout, reached, read_record
from synthgen.dataset.schema import SOURCE
from synthgen.errors import DatasetError, OutputError
from synthgen.report.comparison import stored_config


@dataclass(frozen=True, slots=True)
class Reproduction:
    """Comparison of a sample with the same one made again.

    Attributes:
        sample_id: name of the sample.
        same: whether the encoded images are equal, byte by byte.
        largest: largest difference of a pixel value [0–255].
        mean: mean difference of pixel values [0–255].
    """

    sample_id: str
    same: bool
    largest: int
    mean: float

    def text(self) -> str:
        """Say it in one line."""
        if self.same:
            return f"{self.sample_id}: the same image, byte by byte"
        return (
            f"{self.sample_id}: another image; pixel values differ by {self.mean:.3f} on average "
            f"and by {self.largest} at most (of 255)"
        )


def reproduce(dataset: str, sample_id: str, to: Path | None = None) -> Reproduction:
    """Make one sample again and compare it.

    Args:
        dataset: folder or URL of the dataset.
        sample_id: as in column `sample_id`.
        to: PNG file for the stored image and the new one, side by side.

    Raises:
        DatasetError: if there is no such dataset or sample, or the dataset was merged.
        OutputError: if the file cannot be written.
    """
    storage = reached(dataset)
    _refuse_merged(storage, sample_id)
    config = stored_config(storage)
    row = find_sample(storage, sample_id)
    plan = build_plan(config)
    spec = plan.sample(plan.find(sample_id), row["replacement"])
    (picture,) = load_worker(config, plan).generate([plan.attempt(spec, row["attempt"])])
    stored = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
    encoded = encode_image(picture, config.output.image_format)
    again = Image.open(io.BytesIO(encoded)).convert("RGB")
    if to is not None:
        _write_pair(stored, again, to)
    difference = np.abs(np.asarray(stored, np.int16) - np.asarray(again, np.int16))
    same = encoded == row["image"]["bytes"]
    return Reproduction(sample_id, same, int(difference.max()), float(difference.mean()))


def _refuse_merged(storage: Storage, sample_id: str) -> None:
    """Say which dataset makes a sample again, where several were merged."""
    if not storage.exists(layout.RUN) or not (record := read_record(storage)).sources:
        return
    name = find_sample(storage, sample_id)[SOURCE]
    urls = [source["url"] for source in record.sources if source["name"] == name]
    at = f"; run: synthgen reproduce {urls[0]} {sample_id}" if urls else ""
    raise DatasetError(
        f"{storage.url} was merged, and {sample_id} comes from {name!r}, which can make it "
        f"again{at}"
    )


def _write_pair(stored: Image.Image, again: Image.Image, to: Path) -> None:
    pair = Image.new("RGB", (stored.width + again.width, max(stored.height, again.height)))
    pair.paste(stored, (0, 0))
    pair.paste(again, (stored.width, 0))
    try:
        pair.save(to, format="PNG")
    except OSError as error:
        raise OutputError(f"cannot write {to}: {error.strerror}") from error
