"""Pictures as pixels of one size, kept in a mapped file, and changed anew in each epoch."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image as PILImage
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from pipelines.recognition.labels import Targets
from samplers.randomness import uniforms
from synthgen.errors import OutputError

ROTATION, SCALE, SHIFT, LIGHT = 10.0, 0.1, 0.05, 0.2
"""Largest changes of a picture: degrees; share of its size, of its side, of its light and contrast.
Half of the pictures are mirrored too: AUs are the same on both sides."""

_DRAWN = 7
_GREY = 127


def gather_pixels(
    pictures: Iterator[Image], side: int, folder: Path
) -> UInt8[np.ndarray, "n side side 3"]:
    """Read pictures into a nameless mapped file: the middle square of each, at one size.

    The file goes when the last process that reads it ends.

    Args:
        pictures: RGB, of any sizes.
        side: pixels of a side.
        folder: folder in which the file is.

    Raises:
        OutputError: if the file cannot be written.
    """
    count = 0
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=1 << 20) as file:
            for picture in pictures:
                file.write(np.asarray(_squared(picture, side)).tobytes())
                count += 1
            file.flush()
            return np.memmap(file, np.uint8, "r", shape=(count, side, side, 3))
    except OSError as error:
        raise OutputError(f"cannot write pixels to {folder}: {error.strerror or error}") from error


def _squared(picture: Image, side: int) -> Image:
    width, height = picture.size
    least = min(width, height)
    left, top = (width - least) / 2, (height - least) / 2
    box = (left, top, left + least, top + least)
    return picture.resize((side, side), PILImage.Resampling.BICUBIC, box, reducing_gap=3.0)


class FacePixels(Dataset[dict[str, Tensor]]):
    """Pictures as a model takes them, with their labels.

    An index is `epoch · n + place`: the changes of a picture are a function of the seed, the epoch
    and its place, so that a training which was stopped sees the same ones.

    Args:
        pixels: the pictures.
        mean: mean of each channel, of pixels from 0 to 1.
        deviation: standard deviation of each channel.
        labels: what is learned; None: nothing, and no picture is changed.
        seed: of the changes.
    """

    def __init__(
        self,
        pixels: UInt8[np.ndarray, "n side side 3"],
        mean: Sequence[float],
        deviation: Sequence[float],
        labels: Targets | None = None,
        seed: int = 0,
    ) -> None:
        self._pixels = pixels
        self._mean = np.array(mean, np.float32)
        self._deviation = np.array(deviation, np.float32)
        self._labels = (
            None if labels is None else np.concatenate([labels.categories, labels.aus], axis=1)
        )
        self._seed = seed

    def __len__(self) -> int:
        return len(self._pixels)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        epoch, place = divmod(index, len(self._pixels))
        pixels = np.asarray(self._pixels[place])
        if self._labels is None:
            return {"pixel_values": self._normalised(pixels.astype(np.float32) / 255)}
        drawn = uniforms(self._seed, f"fer/changes/{epoch}", place, place + 1, _DRAWN)[0]
        return {
            "pixel_values": self._normalised(changed(pixels, drawn)),
            "labels": torch.from_numpy(self._labels[place]),
        }

    def _normalised(self, values: Float32[np.ndarray, "side side 3"]) -> Tensor:
        scaled = (values - self._mean) / self._deviation
        return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 0, 1)))


def changed(
    pixels: UInt8[np.ndarray, "side side 3"], drawn: np.ndarray
) -> Float32[np.ndarray, "side side 3"]:
    """Turn, scale, shift and mirror a picture, and change its light.

    Args:
        pixels: the picture.
        drawn: seven numbers, uniform in (0, 1).

    Returns:
        Pixels from 0 to 1.
    """
    side = len(pixels)
    either = 2 * drawn - 1
    angle = np.deg2rad(ROTATION * either[0])
    scale = 1 + SCALE * either[1]
    cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
    mirror = -1.0 if drawn[4] < 0.5 else 1.0
    centre = side / 2  # of its edges: the map is of the middles of pixels
    across, down = centre + SHIFT * side * either[2], centre + SHIFT * side * either[3]
    # Where each pixel of the result comes from: PIL's affine map, about the centre.
    matrix = (
        mirror * cosine, mirror * sine, across - mirror * (cosine + sine) * centre,
        -sine, cosine, down + (sine - cosine) * centre,
    )  # fmt: skip
    moved = PILImage.fromarray(pixels).transform(
        (side, side),
        PILImage.Transform.AFFINE,
        matrix,
        PILImage.Resampling.BILINEAR,
        fillcolor=(_GREY, _GREY, _GREY),
    )
    values = np.asarray(moved, np.float32) / 255
    contrast, brightness = 1 + LIGHT * either[5], LIGHT * either[6]
    middle = values.mean()
    return np.clip((values - middle) * contrast + middle + brightness, 0, 1).astype(np.float32)


class EpochOrder(Sampler[int]):
    """Indices of an epoch in an order of its own, a function of the seed and the epoch.

    Args:
        count: pictures.
        seed: of the orders.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count, self._seed, self._epoch = count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of an epoch, from 0."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        drawn = uniforms(self._seed, f"fer/order/{self._epoch}", 0, self._count, 1)[:, 0]
        first = self._epoch * self._count
        yield from (first + int(place) for place in drawn.argsort(kind="stable"))
