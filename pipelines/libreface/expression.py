"""LibreFace's expression network (RepVGG-A0), and the check that it makes.

Ding et al., "RepVGG: making VGG-style ConvNets great again", CVPR 2021, Table 2 (A0). Modules bear
the names of LibreFace's `repvgg.pt`, `{"model": state_dict}`, which therefore loads strictly and
unchanged: timm's names within `encoder`, whose classifier goes on into 512 features. A score is a
sigmoid of its class alone, so the eight do not add up to 1; the largest one is the answer.

Shapes: B batch. LibreFace shrinks its crop of 512×512 to 224 (PIL, bicubic) and normalises by the
mean and deviation of ImageNet.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from pipelines.checkpoints import load_strictly, read_pickled_tensors
from pipelines.interfaces import Verifier
from pipelines.libreface.alignment import Aligner, CenteredAligner, MediaPipeAligner
from pipelines.libreface.expression_section import CLASS_OF, CLASSES, ExpressionPolicy
from pipelines.libreface.network import IMAGENET_MEAN, IMAGENET_STD, fetch_published
from pipelines.libreface.weights import LICENCE, expression_file, find_expression_weights
from pipelines.pictures import all_rgb
from pipelines.policy import Verdict
from pipelines.weight_files import file_sha256
from samplers.spec import SampleSpec
from synthgen.action_units import MAX_INTENSITY
from synthgen.dataset.schema import Feature, vector_feature
from synthgen.errors import WeightsError

INPUT_SIZE = 224
"""Side of the input [pixels]."""

CLASS, SCORES = "libreface_expression", "libreface_expression_scores"
"""Columns: the class of the largest score, and the scores of all [0–1]; null without a face."""

CATEGORY = "category"
"""Reason of an image that is taken for another category than it was asked for."""

_STEM = 48
_STAGES = ((48, 2), (96, 4), (192, 14), (1280, 1))  # channels, blocks
_CLASSIFIED, _FEATURES, _HIDDEN = 1000, 512, 128
_DROPOUT = 0.1
_MAX_BATCH = 64
_BLACK = Image.new("RGB", (1, 1))
_FILE_ID = "1yPBUjPhkwcIkRLt47-JJRLRD7rCwPIVU"


class _ConvNorm(nn.Module):
    def __init__(self, channels: tuple[int, int], kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(*channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels[1])

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B d k l"]:
        return self.bn(self.conv(x))


class RepVGGBlock(nn.Module):
    """A 3×3 and a 1×1 convolution side by side, and the input where it fits (Fig. 2 (b))."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        fits = in_channels == channels and stride == 1
        self.identity = nn.BatchNorm2d(channels) if fits else None
        self.conv_kxk = _ConvNorm((in_channels, channels), 3, stride)
        self.conv_1x1 = _ConvNorm((in_channels, channels), 1, stride)

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B d k l"]:
        """Return the ReLU of the sum of the branches."""
        found = self.conv_1x1(x) + self.conv_kxk(x)
        if self.identity is not None:
            found = found + self.identity(x)
        return torch.relu(found)


class _Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(_STAGES[-1][0], _CLASSIFIED), nn.Linear(_CLASSIFIED, _FEATURES)
        )


class _Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = RepVGGBlock(3, _STEM, stride=2)
        stages, channels = [], _STEM
        for width, blocks in _STAGES:
            first = RepVGGBlock(channels, width, stride=2)
            more = [RepVGGBlock(width, width, stride=1) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *more))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.head = _Head()


class ExpressionNetwork(nn.Module):
    """Scores of LibreFace's eight expressions."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = _Encoder()
        self.classifier = nn.Sequential(
            nn.Linear(_FEATURES, _HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(_HIDDEN),
            nn.Dropout(_DROPOUT),
            nn.Linear(_HIDDEN, len(CLASSES)),
            nn.Sigmoid(),
        )

    def forward(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 8"]:
        """Return the scores [0–1] of normalised face crops, in the order of `CLASSES`.

        Each image's bits are the same whatever its place in the batch: matrix products, whose last
        bits depend on it on a CPU, take one row at a time.
        """
        maps = self.encoder.stages(self.encoder.stem(pixels))
        pooled = maps.mean((2, 3))  # [B, 1280]
        return torch.cat([self.classifier(self.encoder.head.fc(row[None])) for row in pooled])


def load_expression(path: Path) -> ExpressionNetwork:
    """Read an expression network in LibreFace's format.

    Returns:
        The network in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: if the file is missing, holds anything but tensors, or these are not exactly
            the network's, or not finite.
    """
    content = read_pickled_tensors(path)
    if not isinstance(content, dict) or "model" not in content:
        raise WeightsError(f'{path} must hold {{"model": state_dict}}, as LibreFace writes it')
    network = ExpressionNetwork()
    load_strictly(network, content["model"], str(path))
    return network.eval().requires_grad_(False)


def fetch_expression(cache: Path | None = None) -> Path:
    """Fetch LibreFace's expression weights, unless they are there; see `fetch_published`."""
    what = "LibreFace's expression weights"
    return fetch_published(expression_file(cache), _FILE_ID, what, load_expression)


def expression_pixels(crops: Sequence[Image.Image]) -> Float[Tensor, "batch 3 224 224"]:
    """Turn aligned face crops into the network's input: normalised pixels, float32, on the CPU."""
    sized = [
        crop
        if crop.size == (INPUT_SIZE, INPUT_SIZE)
        else crop.resize((INPUT_SIZE, INPUT_SIZE), Image.Resampling.BICUBIC)
        for crop in crops
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(crop) for crop in sized]))
    pixels = pixels.permute(0, 3, 1, 2).float().div_(255)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    return pixels.sub_(mean).div_(torch.tensor(IMAGENET_STD).view(3, 1, 1))


class ExpressionCheck(Verifier):
    """Tells which of eight expressions an image shows, and compares it with the category.

    Args:
        network: the network in evaluation mode, on its device.
        aligner: what finds the face.
        file: its weight file.
        policy: the bounds.
        licence: licence of the weights.
    """

    name = "libreface-expression"

    def __init__(
        self,
        network: ExpressionNetwork,
        aligner: Aligner,
        file: Path,
        policy: ExpressionPolicy = ExpressionPolicy(),  # noqa: B008 - immutable
        licence: str = "not stated",
    ) -> None:
        self._network = network
        self._aligner = aligner
        self._policy = policy
        self._weights = {file.name: file_sha256(file)}
        self._licence = licence

    @classmethod
    def from_pretrained(
        cls,
        weights: str,
        aligner: str,
        policy: ExpressionPolicy = ExpressionPolicy(),  # noqa: B008 - immutable
        device: str = "cpu",
    ) -> "ExpressionCheck":
        """Load the check.

        Args:
            weights: `libreface` (fetched before), or a file in its format.
            aligner: `centered` or `mediapipe`.
            policy: the bounds.
            device: torch device.

        Raises:
            WeightsError: if the weights are missing or do not fit.
            MissingDependencyError: if the aligner's package is not installed.
        """
        file = find_expression_weights(weights)
        finder = CenteredAligner(side=INPUT_SIZE) if aligner == "centered" else MediaPipeAligner()
        licence = LICENCE if weights == "libreface" else "not stated"
        return cls(load_expression(file).to(device), finder, file, policy, licence)

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return the class of the largest score, and all scores."""
        return {
            CLASS: {"names": list(CLASSES), "_type": "ClassLabel"},
            SCORES: vector_feature(len(CLASSES)),
        }

    def measure(
        self, images: Sequence[Image.Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Measure a batch; nothing is known of images without a face."""
        crops = [self._aligner.align(image).crop for image in all_rgb(images)]
        scores = self._scores([crop or _BLACK for crop in crops])
        return [
            {CLASS: None, SCORES: None}
            if crop is None
            else {CLASS: int(row.argmax()), SCORES: tuple(map(float, row))}
            for crop, row in zip(crops, scores, strict=True)
        ]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Compare with the category; one that has no class, or none at all, is accepted."""
        wanted = CLASS_OF.get(spec.emotion or "")
        policy = self._policy
        if wanted is None or not policy.judges:
            return Verdict.accept()
        if measured[SCORES] is None:
            return Verdict.reject("no_face", "no face was found")
        scores, place = measured[SCORES], CLASSES.index(wanted)
        taken, score = measured[CLASS], measured[SCORES][place]
        if policy.match and taken != place:
            return Verdict.reject(
                CATEGORY,
                f"it is taken for {CLASSES[taken]} ({scores[taken]:.2f}) where {spec.emotion} was "
                f"asked for, which is {wanted} ({score:.2f})",
                MAX_INTENSITY * (scores[taken] - score),
            )
        if policy.min_score is not None and score < policy.min_score:
            return Verdict.reject(
                CATEGORY,
                f"the score of {wanted} is {score:.2f} where {spec.emotion} was asked for; the "
                f"least allowed is {policy.min_score:g}",
                MAX_INTENSITY * (policy.min_score - score),
            )
        return Verdict.accept()

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of."""
        packages = sorted({"torch", "numpy", *self._aligner.packages})
        return {
            "weights": dict(self._weights),
            "licences": dict.fromkeys(self._weights, self._licence),
            "versions": {package: version(package) for package in packages},
        }

    @torch.inference_mode()
    def _scores(self, crops: Sequence[Image.Image]) -> Float[np.ndarray, "batch 8"]:
        """Score crops in batches of 64, the last one filled up where there are several."""
        count = len(crops)
        padded = [*crops, *[_BLACK] * (-count % _MAX_BATCH if count > _MAX_BATCH else 0)]
        device = next(self._network.parameters()).device
        parts = [
            self._network(expression_pixels(padded[start : start + _MAX_BATCH]).to(device))
            for start in range(0, len(padded), _MAX_BATCH)
        ]
        if not parts:
            return np.empty((0, len(CLASSES)), np.float32)
        return torch.cat(parts).float().cpu().numpy()[:count]
