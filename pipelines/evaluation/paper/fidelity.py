"""KID and FID of images against pictures of yours, by torch-fidelity.

Both compare features of InceptionV3 (Heusel et al., arXiv 1706.08500; Bińkowski et al., arXiv
1801.01401). torch-fidelity is no dependency: it needs a torchvision that is built for the torch
that is installed. Its network's weights are a file of yours, or fetched by torch-fidelity.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import UInt8
from PIL import Image as PILImage
from PIL.Image import Image, Resampling
from torch import Tensor
from torch.utils.data import Dataset

from pipelines.checkpoints import read_pickled_tensors
from pipelines.pictures import open_picture
from synthgen.errors import ConfigError, DatasetError, MissingDependencyError, WeightsError
from synthgen.foreign import counted, excerpt, first_line, regular_file

LEAST_PICTURES = 50
"""Pictures on either side from which KID and FID are told."""

SUBSETS, SUBSET_SIZE = 100, 1000
"""Subsets of KID and their size at most; torch-fidelity's own."""

_EXTRACTOR = "inception-v3-compat"
_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


@dataclass(frozen=True, slots=True)
class Fidelity:
    """Distance of images to the reference.

    Attributes:
        kid: kernel inception distance, mean over subsets.
        kid_spread: its standard deviation over subsets.
        fid: Fréchet inception distance.
        images: images compared.
    """

    kid: float
    kid_spread: float
    fid: float
    images: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A picture: a file of its own, or a row of a Parquet file."""

    file: Path
    row: int | None = None


class Pictures(Dataset[Tensor]):
    """Pictures of one size: their middle squares.

    Args:
        places: the pictures.
        side: width and height [pixels].
    """

    def __init__(self, places: Sequence[_Place], side: int) -> None:
        self._places, self._side = places, side
        self._open: tuple[Path, Any] | None = None  # the Parquet file read last, and its pictures

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> UInt8[Tensor, "3 side side"]:
        picture = self._picture(self._places[number]).convert("RGB")
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        if side != self._side:
            square = square.resize((self._side, self._side), Resampling.LANCZOS)
        return torch.from_numpy(np.array(square)).permute(2, 0, 1).contiguous()

    def _picture(self, place: _Place) -> Image:
        try:
            if place.row is None:
                return open_picture(place.file.read_bytes())
            if self._open is None or self._open[0] != place.file:
                self._open = place.file, pq.read_table(place.file, columns=["image"])["image"]
            return open_picture(self._open[1][place.row].as_py()["bytes"])
        except Exception as error:  # of whatever a foreign file holds
            raise DatasetError(
                f"{excerpt(place.file)} cannot be read: {first_line(error)}"
            ) from error


def find_reference(folder: Path) -> list[_Place]:
    """Return the pictures of a folder: picture files, or Parquet files with a column `image`.

    Raises:
        ConfigError: if there is no such folder, or it holds too few.
    """
    if not folder.is_dir():
        raise ConfigError(f"the folder of pictures (--reference) {folder} does not exist")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [_Place(path) for path in files if path.suffix.lower() in _PICTURES]
    for path in files:
        if path.suffix == ".parquet":
            found += _rows(path)
    if len(found) < LEAST_PICTURES:
        raise ConfigError(
            f"{folder} holds {counted(len(found), 'picture')} (files, or the column image of "
            f"Parquet files); KID and FID need at least {LEAST_PICTURES}"
        )
    return found


def _rows(path: Path) -> list[_Place]:
    try:
        file = pq.ParquetFile(path)
        if "image" not in file.schema_arrow.names:
            return []
        return [_Place(path, row) for row in range(file.metadata.num_rows)]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ConfigError(f"{path} is not readable Parquet: {first_line(error)}") from error


def generated(folder: Path, names: Sequence[tuple[str, int]]) -> list[_Place]:
    """Return pictures of a dataset by file name and row."""
    return [_Place(folder / name, row) for name, row in names]


class FidelityMeter:
    """Compares images with a reference.

    Args:
        reference: folder of pictures.
        weights: file of torch-fidelity's InceptionV3; None: it fetches its own.
        device: torch device.

    Raises:
        ConfigError: as `find_reference`.
        MissingDependencyError: if torch-fidelity cannot be loaded.
        WeightsError: if the weights are missing, or are not that network's.
    """

    def __init__(self, reference: Path, weights: Path | None, device: str) -> None:
        self._reference = find_reference(reference)
        self._package = _torch_fidelity()
        if weights is not None:
            regular_file(weights, "InceptionV3 (--inception)", WeightsError)
            read_pickled_tensors(weights)  # torch-fidelity itself would run what a pickle says
        self._weights, self._device = weights, device
        path = None if weights is None else str(weights)
        try:
            self._package.FeatureExtractorInceptionV3(
                _EXTRACTOR, ["2048"], feature_extractor_weights_path=path
            )
        except Exception as error:  # of a file that is another network's, or of no network
            named = "its own, which it fetches" if weights is None else excerpt(weights)
            raise WeightsError(
                f"torch-fidelity cannot load InceptionV3 from {named}: {first_line(error)}; "
                "--inception takes its file weights-inception-2015-12-05-6726825d.pth"
            ) from error

    @property
    def pictures(self) -> int:
        """Pictures of the reference."""
        return len(self._reference)

    def compare(self, places: Sequence[_Place], seed: int) -> Fidelity:
        """Compare images with the reference, both scaled to the images' size.

        Raises:
            ConfigError: if there are too few images.
            DatasetError: if a picture cannot be read.
        """
        if len(places) < LEAST_PICTURES:
            raise ConfigError(
                f"{counted(len(places), 'image')} are too few for KID and FID; at least "
                f"{LEAST_PICTURES} are needed"
            )
        side = min(_size(places[0]))
        found = self._package.calculate_metrics(
            input1=Pictures(places, side),
            input2=Pictures(self._reference, side),
            cuda=self._device != "cpu",
            fid=True,
            kid=True,
            kid_subsets=SUBSETS,
            kid_subset_size=min(SUBSET_SIZE, len(places), len(self._reference)),
            feature_extractor=_EXTRACTOR,
            feature_extractor_weights_path=None if self._weights is None else str(self._weights),
            rng_seed=seed % 2**32,
            cache=False,
            verbose=False,
        )
        return Fidelity(
            kid=float(found["kernel_inception_distance_mean"]),
            kid_spread=float(found["kernel_inception_distance_std"]),
            fid=float(found["frechet_inception_distance"]),
            images=len(places),
        )


def _size(place: _Place) -> tuple[int, int]:
    if place.row is None:
        with PILImage.open(place.file) as picture:
            return picture.size
    content = pq.read_table(place.file, columns=["image"])["image"][place.row].as_py()["bytes"]
    with PILImage.open(BytesIO(content)) as picture:
        return picture.size


def _torch_fidelity() -> Any:
    try:
        import torch_fidelity  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            f"KID and FID (--reference) need torch-fidelity 0.4, which cannot be loaded "
            f"({first_line(error)}): pip install torch-fidelity torchvision, the latter as it is "
            "built for the torch that is installed"
        ) from error
    except RuntimeError as error:  # torchvision's, beside a torch that it is not built for
        raise MissingDependencyError(
            f"KID and FID (--reference) need a torchvision that is built for the torch that is "
            f"installed, {torch.__version__}: {first_line(error)}"
        ) from error
    return torch_fidelity
