"""Judges of images: AU networks, and CLIP for the text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionModelWithProjection

from pipelines.diffusion.models import load_model
from pipelines.evaluation.judge_network import (
    INPUT_SIDE,
    JUDGED_TRAITS,
    JudgeNetwork,
    JudgeOutput,
    load_judge,
)
from pipelines.hub import missing_files, resolve
from pipelines.interfaces import ActionUnitReader
from pipelines.pictures import to_rgb
from pipelines.procedural.vocabulary import TRAITS
from pipelines.weight_files import file_sha256, read_model_config
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

# pyright: reportPrivateImportUsage=false
# transformers exports its names lazily, which the type checker does not see.


ENCODER, PROCESSOR = "image_encoder", "feature_extractor"

_ENCODER_FILES = ("config.json", "model.safetensors")
_PROCESSOR_FILE = "preprocessor_config.json"


class ImageEmbedder:
    """Embeds images by a CLIP image encoder.

    Args:
        encoder: folder of the model: its `config.json` and `model.safetensors`.
        processor: folder of its `preprocessor_config.json`.
        name: what its file is called among those in use.
        device: torch device.

    Raises:
        WeightsError: if one of their files is missing, or they cannot be loaded.
    """

    def __init__(
        self, encoder: Path, processor: Path, name: str = ENCODER, device: str = "cpu"
    ) -> None:
        _check(encoder, _ENCODER_FILES)
        _check(processor, (_PROCESSOR_FILE,))
        read_model_config(processor / _PROCESSOR_FILE)
        self._device = device
        self._model = load_model(CLIPVisionModelWithProjection, encoder, torch.float32)
        self._model.eval().to(device)
        try:
            self._processor = CLIPImageProcessor.from_pretrained(processor)
        except Exception as error:  # of whatever a class does with the values of a strange config
            raise WeightsError(f"{processor} cannot be loaded: {first_line(error)}") from error
        self.name = name
        self.weights = {f"{name}/model.safetensors": file_sha256(encoder / "model.safetensors")}

    @torch.inference_mode()
    def embed(self, images: Sequence[Image]) -> Float[np.ndarray, "n width"]:
        """Return unit vectors of RGB images."""
        pixels = self._processor(images=list(images), return_tensors="pt")["pixel_values"]
        vectors = self._model(pixel_values=pixels.to(self._device)).image_embeds
        return torch.nn.functional.normalize(vectors, dim=-1).cpu().numpy()


def find_encoder(folder: Path, device: str = "cpu") -> ImageEmbedder | None:
    """Return the embedder of a Stable Diffusion folder; None where it has no image encoder.

    Raises:
        WeightsError: if it has half of one.
    """
    if not (folder / ENCODER).is_dir():
        return None
    return ImageEmbedder(folder / ENCODER, folder / PROCESSOR, device=device)


def find_clip(id_or_folder: str, device: str = "cpu") -> ImageEmbedder:
    """Return the image encoder of a CLIP of transformers, whole or its image half.

    Args:
        id_or_folder: Hub id, such as `openai/clip-vit-large-patch14`, or a folder.
        device: torch device.

    Raises:
        WeightsError: if there is none, or it is no CLIP.
    """
    files = [*_ENCODER_FILES, _PROCESSOR_FILE]
    folder = resolve(id_or_folder, files=files, setting="--clip")
    kind = read_model_config(folder / "config.json").get("model_type")
    if kind not in ("clip", "clip_vision_model"):
        raise WeightsError(
            f"{id_or_folder} is a model of the type {kind!r}; --clip takes a CLIP of transformers, "
            "of the type 'clip' or 'clip_vision_model'"
        )
    return ImageEmbedder(folder, folder, id_or_folder, device)


def _check(folder: Path, files: Sequence[str]) -> None:
    if missing := missing_files(folder, list(files)):
        raise WeightsError(f"{folder} has no {', '.join(missing)}; CLIP-I needs it")


_WHOLE_SIDE = 128
"""Side of the portraits that the second judge learned from [pixels]."""


@runtime_checkable
class AUJudge(Protocol):
    """Measures AUs."""

    name: str
    weights: Mapping[str, str]
    """File → sha256."""

    def measure(self, images: Sequence[Image]) -> Float[np.ndarray, "n aus"]:
        """Measure AU intensities [0–5] of RGB images; NaN where there is no face."""
        ...


@runtime_checkable
class NamedReader(ActionUnitReader, Protocol):
    """Reader of AUs that says which."""

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs that it reads."""
        ...


class VerifierJudge:
    """The verifier of runs as a judge of the AUs that a protocol asks for.

    Args:
        verifier: the verifier.
        aus: the AUs of a measurement.

    Raises:
        WeightsError: if the verifier does not read one of them.
    """

    def __init__(self, verifier: NamedReader, aus: ActionUnitSet = DEFAULT_AUS) -> None:
        _refuse_unread(f"the verifier {verifier.name}", verifier.action_units, aus)
        self.name = verifier.name
        self._aus = aus
        self.weights: Mapping[str, str] = verifier.fingerprint()["weights"]
        self._verifier = verifier

    def measure(self, images: Sequence[Image]) -> Float[np.ndarray, "n aus"]:
        """Measure AU intensities [0–5]."""
        return self._verifier.measure(images).aus_of(self._aus)


class SecondJudge:
    """The network of `synthgen train judge`: AUs and traits of drawn and mini faces.

    Args:
        network: the network, in evaluation mode.
        weights: file → sha256.
        aus: the AUs of a measurement.

    Raises:
        WeightsError: if the network does not read one of them.
    """

    def __init__(
        self, network: JudgeNetwork, weights: Mapping[str, str], aus: ActionUnitSet = DEFAULT_AUS
    ) -> None:
        _refuse_unread(f"the judge {', '.join(weights)}", network.action_units, aus)
        self.name = "second judge"
        self._aus = aus
        self.weights: Mapping[str, str] = dict(weights)
        self._network = network

    @classmethod
    def from_file(cls, path: str | Path, aus: ActionUnitSet = DEFAULT_AUS) -> "SecondJudge":
        """Load a judge.

        Raises:
            WeightsError: as `load_judge`; if it does not read one of the AUs.
        """
        network = load_judge(path)
        return cls(network, {Path(path).name: file_sha256(Path(path))}, aus)

    def measure(self, images: Sequence[Image]) -> Float[np.ndarray, "n aus"]:
        """Measure AU intensities [0–5]."""
        read = self._read(images).aus.clamp(MIN_INTENSITY, MAX_INTENSITY).numpy()
        return read[:, [self._network.action_units.index(name) for name in self._aus.names]]

    def traits(self, images: Sequence[Image]) -> dict[str, list[str]]:
        """Return trait → its value in each image."""
        logits = self._read(images).traits
        return {
            trait: [TRAITS[trait][place] for place in logits[trait].argmax(1).tolist()]
            for trait in JUDGED_TRAITS
        }

    @torch.inference_mode()
    def _read(self, images: Sequence[Image]) -> JudgeOutput:
        return self._network(torch.stack([_portrait(image) for image in images]))


def _refuse_unread(reader: str, reads: ActionUnitSet, asked: ActionUnitSet) -> None:
    if unread := asked.without(reads.names):
        raise WeightsError(
            f"{reader} does not read {', '.join(unread)}, which the evaluation asks for; it reads "
            f"{', '.join(reads.names)}"
        )


def _portrait(image: Image) -> Float[Tensor, "3 side side"]:
    """Scale an image's middle square to the portraits' size and cut the input out of it."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = to_rgb(image).crop((left, top, left + side, top + side))
    if side != _WHOLE_SIDE:
        square = square.resize((_WHOLE_SIDE, _WHOLE_SIDE), Resampling.BICUBIC)
    start = (_WHOLE_SIDE - INPUT_SIDE) // 2
    cut = np.asarray(square, np.float32)[start : start + INPUT_SIDE, start : start + INPUT_SIDE]
    return torch.from_numpy(cut / 255).permute(2, 0, 1)
