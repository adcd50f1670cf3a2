"""Measure the AUs of images with a network of LibreFace's kind."""

from collections.abc import Mapping, Sequence
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
from synthgen.action_units import AU_COUNT
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
        return Measurement(aus=aus, faces=faces)

    @torch.inference_mode()
    def occurrences(self, images: Sequence[Image.Image]) -> Float[np.ndarray, "batch 12"]:
        """Return the probability of each AU of `DETECTED_AUS` [0–1]; NaN without a face.

        Batches are those of `measure`, whose work is done again: few runs ask for both heads.

        Raises:
            PictureError: if an image cannot become RGB, with its place in the call.
        """
        found = [self.aligner.align(image) for image in all_rgb(images)]
        crops = [alignment.crop or _BLACK for alignment in found]
        crops += [_BLACK] * (-len(crops) % _MAX_BATCH if len(crops) > _MAX_BATCH else 0)
        like = next(self._network.parameters())
        parts = [
            self._network.occurrences_by_rows(
                face_pixels(crops[start : start + _MAX_BATCH], self._network.input_size).to(
                    like.device, like.dtype
                )
            )
            for start in range(0, len(crops), _MAX_BATCH)
        ]
        chances = np.full((len(images), len(DETECTED_AUS)), np.nan, np.float32)
        if parts:
            chances[:] = torch.cat(parts).float().cpu().numpy()[: len(images)]
        chances[[alignment.faces == 0 for alignment in found]] = np.nan
        return chances

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        packages = sorted({*_PACKAGES, *self.aligner.packages})
        return {
            "weights": dict(self._weights),
            "licences": dict(self._licences),
            "versions": {package: version(package) for package in packages},
        }

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
            return np.empty((0, AU_COUNT), np.float32)
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
