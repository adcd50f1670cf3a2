"""LibreFace's AU network (ResNet-18, two heads): its files, its input, and measuring with it.

He et al., "Deep residual learning for image recognition", CVPR 2016, Table 1. LibreFace wraps
torchvision's ResNet-18 into a plain sequence; the same order here gives the same names.

Shapes: B batch.

Modules bear the names of LibreFace's `combined_resnet.pt`, `{"model": state_dict}`, which therefore
loads strictly and unchanged. Our own format is a safetensors file of the same state dict, in fp16
or fp32, whose metadata says for which `input_size` it was trained. Architecture: Chang et al.,
"LibreFace", WACV 2024.

Shapes: B batch, 12 AUs. A file of our own format may name other AUs for the intensity head, and
AUs of which a third head tells the person's left and right side apart.

In evaluation, normalisation is a fixed scale and shift per channel, so it can be part of the
convolution before it; with pixels laid out channel by channel last, ResNet-18 then takes about two
thirds of the time on a CPU. Outputs move by some 1e-7.

LibreFace shrinks its crop of 512×512 to 256 (PIL, bilinear), cuts 224 out of the middle, and
normalises by the mean and deviation of ImageNet. For another `input_size` the proportions are kept.
"""

import copy
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image, Resampling
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipelines.checkpoints import (
    SAFETENSORS_SUFFIX,
    in_format,
    load_strictly,
    read_pickled_tensors,
    read_safetensors,
)
from pipelines.libreface.weights import LICENCE, find_weight_file, libreface_file
from pipelines.weight_files import ACTION_UNITS_KEY, named_aus
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, ActionUnitSet
from synthgen.errors import WeightsError

FEATURES = 512
"""Channels that the encoder ends in."""


def resnet18_encoder() -> nn.Sequential:
    """Build the encoder: images [B, 3, h, w] to features [B, 512, 1, 1]."""
    return nn.Sequential(
        nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        _stage(64, 64, stride=1),
        _stage(64, 128, stride=2),
        _stage(128, 256, stride=2),
        _stage(256, FEATURES, stride=2),
        nn.AdaptiveAvgPool2d(1),
    )


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut (He et al. 2016, Fig. 2)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _conv3x3(in_channels, channels, stride)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(channels, channels, 1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if stride != 1 or in_channels != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride=stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B d k l"]:
        """Return ReLU(F(x) + shortcut(x))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(residual + shortcut)


def _stage(in_channels: int, channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        BasicBlock(in_channels, channels, stride), BasicBlock(channels, channels, 1)
    )


def _conv3x3(in_channels: int, channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)


INPUT_SIZE = 224
"""Side of LibreFace's own input [pixels]."""

DETECTED_AUS = (
    "AU1", "AU2", "AU4", "AU6", "AU7", "AU10", "AU12", "AU14", "AU15", "AU17", "AU23", "AU24",
)  # fmt: skip
"""AUs of the detection head, in its order (those of BP4D)."""

MIN_INPUT_SIZE = 32
MAX_INPUT_SIZE = 1024

_HIDDEN = 128
_DROPOUT = 0.1


class LibreFaceNetwork(nn.Module):
    """Measures AU intensities of aligned faces.

    Args:
        input_size: side of the square input that the weights were trained for [pixels]; images are
            shrunk to 256/224 of it and cropped in the middle, as LibreFace does. The network itself
            takes any size.
        action_units: the AUs of the intensity head; LibreFace's are the 12 of DISFA.
        sided: those of them whose sides are measured apart, in their order.
    """

    def __init__(
        self,
        input_size: int = INPUT_SIZE,
        action_units: ActionUnitSet = DEFAULT_AUS,
        sided: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.action_units = action_units
        self.sided = tuple(sided)
        self.encoder = resnet18_encoder()
        self.classifier = _head(len(action_units))
        self.classifier_2 = _head(len(DETECTED_AUS))
        self.classifier_3 = _head(2 * len(self.sided)) if self.sided else None

    def forward(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B aus"]:
        """Return the AU intensities [0–5] of normalised face crops."""
        return MAX_INTENSITY * self.heads(pixels)[0]

    def by_rows(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B aus"]:
        """Return what `forward` does, each image's bits whatever its place in the batch.

        On a CPU the last bits of a row of a matrix product depend on where it stands among the
        others; convolutions take one image after another. So the head, a thousandth of the work,
        takes one row at a time.
        """
        features = self.encoder(pixels).flatten(1)  # [B, 512]
        rows = [self.classifier(row[None]) for row in features]
        return MAX_INTENSITY * torch.cat(rows)

    def sides_by_rows(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 2 sided"]:
        """Return the intensities [0–5] of the person's left and right side; bits as of `by_rows`.

        The AUs are those of `sided`.
        """
        features = self.encoder(pixels).flatten(1)  # [B, 512]
        return MAX_INTENSITY * torch.cat([self.sides(row[None]) for row in features])

    def sides(self, features: Float[Tensor, "B 512"]) -> Float[Tensor, "B 2 sided"]:
        """Return intensity / 5 of the person's left and right side, of what the encoder gives."""
        if self.classifier_3 is None:
            raise ValueError("the network measures no sides")
        return self.classifier_3(features).unflatten(1, (2, len(self.sided)))

    def occurrences_by_rows(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 12"]:
        """Return the probability of each AU of `DETECTED_AUS` [0–1]; bits as of `by_rows`."""
        features = self.encoder(pixels).flatten(1)  # [B, 512]
        return torch.cat([self.classifier_2(row[None]) for row in features])

    def heads(
        self, pixels: Float[Tensor, "B 3 h w"]
    ) -> tuple[Float[Tensor, "B aus"], Float[Tensor, "B aus"]]:
        """Return both heads as they leave their sigmoid [0–1].

        Returns:
            Intensity / 5 of each AU in the order of an AU vector, and the probability of each AU of
            `DETECTED_AUS` (present from 0.5 on).
        """
        features = self.encoder(pixels).flatten(1)  # [B, 512]
        return self.classifier(features), self.classifier_2(features)


def load_network(path: str | Path) -> LibreFaceNetwork:
    """Read an AU network.

    Args:
        path: a file in LibreFace's or our own format, or a folder that holds exactly one.

    Returns:
        The network in evaluation mode, float32, on the CPU.

    Raises:
        WeightsError: if there is no such file, it holds anything but tensors, or these are not
            exactly the network's, or not finite.
    """
    file = find_weight_file(path)
    if file.suffix == SAFETENSORS_SUFFIX:
        tensors, metadata = read_safetensors(file)
        network = _unfilled(
            _input_size(metadata, file),
            named_aus(metadata, str(file)) or DEFAULT_AUS,
            _sided(metadata, file),
        )
        load_strictly(network, _expand(tensors), str(file))
    else:
        network = _unfilled()
        load_strictly(network, _libreface_state(file), str(file))
    return network.eval()


def _unfilled(*settings: Any) -> LibreFaceNetwork:
    """Make a network whose weights are yet to be read: drawing them takes longer than reading."""
    with torch.device("meta"):
        return LibreFaceNetwork(*settings)


def save_network(
    network: LibreFaceNetwork,
    path: str | Path,
    metadata: Mapping[str, str] | None = None,
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write an AU network in our own format.

    Args:
        network: the network.
        path: the file, ending in `.safetensors`; its folder must exist.
        metadata: further texts to keep in the file.
        dtype: float16 or float32; counters stay whole numbers.

    Raises:
        WeightsError: if the file does not end in `.safetensors`.
    """
    file = Path(path)
    if file.suffix != SAFETENSORS_SUFFIX:
        raise WeightsError(f"{file} must end in {SAFETENSORS_SUFFIX}: that is our own format")
    tensors = in_format(network.state_dict(), dtype)
    about = {**(metadata or {}), "input_size": str(network.input_size)}
    if network.action_units != DEFAULT_AUS:
        about[ACTION_UNITS_KEY] = ",".join(network.action_units.names)
    if network.sided:
        about[_SIDED_KEY] = ",".join(network.sided)
    save_file(tensors, file, about)


def _libreface_state(file: Path) -> object:
    content = read_pickled_tensors(file)
    if not isinstance(content, dict) or "model" not in content:
        raise WeightsError(f'{file} must hold {{"model": state_dict}}, as LibreFace writes it')
    return content["model"]


_SIDED_KEY = "sided_action_units"
"""Key of a file's metadata that names the AUs whose sides are measured apart."""


def _sided(metadata: Mapping[str, str], file: Path) -> tuple[str, ...]:
    sided = named_aus(metadata, str(file), _SIDED_KEY)
    if sided is None:
        return ()
    if unknown := sided.without((named_aus(metadata, str(file)) or DEFAULT_AUS).names):
        raise WeightsError(
            f"{file}, {_SIDED_KEY} in its metadata: {', '.join(unknown)} are not among the AUs "
            "that the network measures"
        )
    return sided.names


def _input_size(metadata: Mapping[str, str], file: Path) -> int:
    text = metadata.get("input_size", str(INPUT_SIZE))
    if not text.isdecimal() or not MIN_INPUT_SIZE <= int(text) <= MAX_INPUT_SIZE:
        raise WeightsError(
            f"{file}: input_size is {text!r}; it must be a whole number "
            f"from {MIN_INPUT_SIZE} to {MAX_INPUT_SIZE}"
        )
    return int(text)


def _expand(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
    }


def _head(outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(FEATURES, _HIDDEN),
        nn.ReLU(),
        nn.BatchNorm1d(_HIDDEN),
        nn.Dropout(_DROPOUT),
        nn.Linear(_HIDDEN, outputs),
        nn.Sigmoid(),
    )


def for_inference(network: LibreFaceNetwork) -> LibreFaceNetwork:
    """Return a frozen copy of a network that gives the same measurements in less time.

    Args:
        network: a float32 network; it is left as it is.
    """
    fast = copy.deepcopy(network).eval().requires_grad_(False)
    encoder = fast.encoder
    _fold(encoder, "0", "1")
    for block in encoder.modules():
        if isinstance(block, BasicBlock):
            _fold(block, "conv1", "bn1")
            _fold(block, "conv2", "bn2")
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")
    return fast.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _fold(parent: nn.Module, convolution: str, normalisation: str) -> None:
    conv = cast(nn.Conv2d, parent.get_submodule(convolution))
    norm = cast(nn.BatchNorm2d, parent.get_submodule(normalisation))
    setattr(parent, convolution, fuse_conv_bn_eval(conv, norm))
    setattr(parent, normalisation, nn.Identity())


RESIZED = 256
"""Side to which LibreFace shrinks a crop before it cuts out 224 [pixels]."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resized_side(input_size: int) -> int:
    """Return the side that a crop is shrunk to for an input of this size [pixels]."""
    return round(input_size * RESIZED / INPUT_SIZE)


def face_pixels(
    crops: Sequence[Image], input_size: int = INPUT_SIZE
) -> Float[Tensor, "batch 3 size size"]:
    """Turn aligned face crops into the network's input.

    Args:
        crops: square RGB crops of any size.
        input_size: side of the input [pixels].

    Returns:
        Normalised pixels, float32, on the CPU.
    """
    cut = np.stack([_middle(crop, input_size) for crop in crops])  # [batch, size, size, 3]
    pixels = torch.from_numpy(cut).permute(0, 3, 1, 2).float().div_(255)
    mean = torch.tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = torch.tensor(IMAGENET_STD).view(3, 1, 1)
    return pixels.sub_(mean).div_(std)


def _middle(crop: Image, input_size: int) -> np.ndarray:
    side = resized_side(input_size)
    if crop.size != (side, side):
        crop = crop.resize((side, side), Resampling.BILINEAR)
    start = round((side - input_size) / 2)
    return np.asarray(crop)[start : start + input_size, start : start + input_size]


_FILE_ID = "1CbnBr8OBt8Wb73sL1ENcrtrWAFWSSRv0"
_TIMEOUT = 60.0  # seconds without an answer


def fetch_libreface(cache: Path | None = None) -> Path:
    """Fetch LibreFace's weights, unless they are there; see `fetch_published`.

    Args:
        cache: folder of fetched weights; None: `cache_folder()`.
    """
    return fetch_published(libreface_file(cache), _FILE_ID, "LibreFace's weights", load_network)


def fetch_published(file: Path, identifier: str, what: str, load: Callable[[Path], object]) -> Path:
    """Fetch a file of LibreFace's, unless it is there, and check that it loads strictly.

    It appears under its name only when it is whole and fits the network.

    Args:
        file: where it is kept.
        identifier: its id in Google Drive.
        what: what it is, for people.
        load: reads it, or refuses.

    Returns:
        The weight file.

    Raises:
        WeightsError: if it cannot be fetched, or what came is not LibreFace's network.
    """
    if file.exists():
        load(file)
        return file
    print(f"{what}: {LICENCE}", file=sys.stderr)
    url = f"https://drive.google.com/uc?id={identifier}"
    partial = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        _download(partial, file, identifier, f"{what} from {url}")
        _check(partial, url, load)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return file


def _download(partial: Path, file: Path, identifier: str, what: str) -> None:
    import gdown
    from gdown.exceptions import DownloadError

    try:
        partial.parent.mkdir(parents=True, exist_ok=True)
        gdown.download(id=identifier, output=str(partial), timeout=_TIMEOUT)
    except (DownloadError, OSError) as error:
        raise WeightsError(
            f"cannot fetch {what} ({type(error).__name__}); fetch that file by hand and put it at "
            f"{file}"
        ) from error


def _check(partial: Path, url: str, load: Callable[[Path], object]) -> None:
    try:
        load(partial)
    except WeightsError as error:
        raise WeightsError(
            f"what came from {url} is not LibreFace's network, and was thrown away: "
            f"{str(error).replace(str(partial), 'it')}"
        ) from error
