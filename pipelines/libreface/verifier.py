"""Measure the AUs of images with a network of LibreFace's kind."""

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from pipelines.interfaces import Measurement
from pipelines.libreface.alignment import Aligner, CenteredAligner, MediaPipeAligner
from pipelines.libreface.network import (
    DETECTED_AUS,
    LibreFaceNetwork,
    face_pixels,
    for_inference,
    load_network,
    resized_side,
)
from pipelines.libreface.presence import FacePresence, load_presence
from pipelines.libreface.weights import find_presence, find_weights
from pipelines.pictures import all_rgb
from pipelines.weight_files import file_sha256
from synthgen.action_units import ActionUnitSet
from synthgen.errors import ConfigError
from synthgen.foreign import first_line

AlignerName = Literal["centered", "mediapipe"]

_MAX_BATCH = 64
_PACKAGES = ("torch", "numpy")
_BLACK = Image.new("RGB", (1, 1))


class LibreFaceVerifier:
    """Measures the largest face of each image.

    A measurement is a function of its image and of the number of images in the call: an image
    without a face keeps its place in the network's batch (a black crop), and a call of more than 64
    images is cut into batches of 64, the last one filled up with black crops.

    Args:
        network: the network in evaluation mode, on the device and in the number format that it is
            to work in.
        aligner: what finds the face.
        name: name of the verifier in the dataset.
        weights: weight file → sha256.
        licences: weight file → licence.
        presence: what tells whether a crop shows a face, where the aligner does not look for one.
    """

    def __init__(
        self,
        network: LibreFaceNetwork,
        aligner: Aligner,
        name: str,
        weights: Mapping[str, str],
        licences: Mapping[str, str],
        presence: FacePresence | None = None,
    ) -> None:
        self.name = name
        self.aligner = aligner
        self._network = network
        self._weights = dict(weights)
        self._licences = dict(licences)
        self._presence = presence

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path = "mini",
        aligner: AlignerName | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> "LibreFaceVerifier":
        """Load a verifier.

        Args:
            weights: `mini` (drawn and mini faces), `libreface` (photographs; fetched before), or a
                file or folder in LibreFace's or our own format.
            aligner: `centered` or `mediapipe`; None: `centered` for the mini weights, else
                `mediapipe`.
            device: device of the network.
            dtype: number format of the network.

        Raises:
            WeightsError: if the weights are missing or do not fit.
            ConfigError: if there is no such aligner or device.
            MissingDependencyError: if the aligner's package is not installed.
        """
        file, name, licence = find_weights(weights)
        network = _place(for_inference(load_network(file)), device, dtype)
        chosen = aligner or ("centered" if weights == "mini" else "mediapipe")
        files, presence = [file], None
        if chosen == "centered":
            presence = FacePresence()
            if found := find_presence(weights, chosen):
                teller, threshold = load_presence(found)
                presence = FacePresence(teller.to(device), threshold)
                files.append(found)
        return cls(
            network,
            _aligner(chosen, network.input_size),
            name,
            weights={each.name: file_sha256(each) for each in files},
            licences={each.name: licence for each in files},
            presence=presence,
        )

    def measure(self, images: Sequence[Image.Image]) -> Measurement:
        """Measure images of any size and kind; an image without a face gives NaN and 0 faces.

        Raises:
            PictureError: if an image cannot become RGB, with its place in the call.
        """
        found = [self.aligner.align(image) for image in all_rgb(images)]
        faces = np.array([alignment.faces for alignment in found], dtype=np.int64)
        crops = [alignment.crop or _BLACK for alignment in found]
        if self._presence is not None and crops:
            seen = self._presence.of(crops)
            faces[~np.array(seen)] = 0
            crops = [crop if there else _BLACK for crop, there in zip(crops, seen, strict=True)]
        aus = self._intensities(crops)
        aus[faces == 0] = np.nan
        return Measurement(aus=aus, faces=faces, action_units=self.action_units)

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs that it measures, those that its weights name."""
        return self._network.action_units

    @property
    def sided(self) -> tuple[str, ...]:
        """Those of them whose sides it measures apart; LibreFace's own weights measure none."""
        return self._network.sided

    @torch.inference_mode()
    def sides(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "batch 2 sided"]:
        """Return the intensities of the person's left and right side; NaN without a face.

        Batches are those of `measure`, whose work is done again. The AUs are those of `sided`; an
        aligner that looks for no face finds one in each image.

        Raises:
            PictureError: if an image cannot become RGB, with its place in the call.
        """
        return self._by_head(images, self._network.sides_by_rows, (2, len(self.sided)))

    @torch.inference_mode()
    def occurrences(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "batch 12"]:
        """Return the probability of each AU of `DETECTED_AUS` [0–1]; NaN without a face.

        Batches are those of `measure`, whose work is done again: few runs ask for both heads.

        Raises:
            PictureError: if an image cannot become RGB, with its place in the call.
        """
        return self._by_head(images, self._network.occurrences_by_rows, (len(DETECTED_AUS),))

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        packages = sorted({*_PACKAGES, *self.aligner.packages})
        return {
            "weights": dict(self._weights),
            "licences": dict(self._licences),
            "versions": {package: version(package) for package in packages},
        }

    def _by_head(
        self,
        images: Sequence[Image.Image],
        head: Callable[[Tensor], Tensor],
        shape: tuple[int, ...],
    ) -> Float[np.ndarray, "batch *values"]:
        """Return what a head tells of each image, NaN where the aligner finds no face."""
        found = [self.aligner.align(image) for image in all_rgb(images)]
        crops = [alignment.crop or _BLACK for alignment in found]
        crops += [_BLACK] * (-len(crops) % _MAX_BATCH if len(crops) > _MAX_BATCH else 0)
        like = next(self._network.parameters())
        size = self._network.input_size
        parts = [
            head(face_pixels(crops[i : i + _MAX_BATCH], size).to(like.device, like.dtype))
            for i in range(0, len(crops), _MAX_BATCH)
        ]
        told = np.full((len(images), *shape), np.nan, np.float32)
        if parts:
            told[:] = torch.cat(parts).float().cpu().numpy()[: len(images)]
        told[[alignment.faces == 0 for alignment in found]] = np.nan
        return told

    def _intensities(self, crops: Sequence[Image.Image]) -> Float[np.ndarray, "batch aus"]:
        if len(crops) <= _MAX_BATCH:
            return self._forward(crops)
        padded = [*crops, *[_BLACK] * (-len(crops) % _MAX_BATCH)]
        starts = range(0, len(padded), _MAX_BATCH)
        parts = [self._forward(padded[start : start + _MAX_BATCH]) for start in starts]
        return np.concatenate(parts)[: len(crops)]

    @torch.inference_mode()
    def _forward(self, crops: Sequence[Image.Image]) -> Float[np.ndarray, "batch aus"]:
        if not crops:
            return np.empty((0, len(self.action_units)), np.float32)
        like = next(self._network.parameters())
        pixels = face_pixels(crops, self._network.input_size).to(like.device, like.dtype)
        aus: Tensor = self._network.by_rows(pixels)
        return aus.float().cpu().numpy()


def _aligner(name: str, input_size: int) -> Aligner:
    if name == "centered":
        return CenteredAligner(side=resized_side(input_size))
    if name == "mediapipe":
        return MediaPipeAligner()
    raise ConfigError(f"unknown aligner {name!r}; those that exist: centered, mediapipe")


def _place(
    network: LibreFaceNetwork, device: str | torch.device, dtype: torch.dtype
) -> LibreFaceNetwork:
    try:
        return network.to(device, dtype)
    except (RuntimeError, AssertionError) as error:
        reason = first_line(error)
        raise ConfigError(f"device {str(device)!r} cannot be used: {reason}") from error
