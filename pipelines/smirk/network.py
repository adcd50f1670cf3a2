"""SMIRK's expression network: a picture of a face to FLAME's 55 numbers (arXiv 2404.04104, Sec. 3).

Its backbone is the large "minimal" MobileNetV3 (Howard et al., "Searching for MobileNetV3", ICCV
2019, Table 1): without squeeze-and-excite, 3×3 kernels and ReLU throughout. It was trained by
TensorFlow, so a stride of 2 pads a row and a column more behind than before, and batch
normalisation adds 1e-3 to the variance. Modules bear the names of the published `SMIRK_em1.pt`,
which therefore loads strictly and unchanged.

Shapes: B batch.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from pipelines.checkpoints import check_tensors, read_pickled_tensors
from pipelines.weight_files import file_sha256
from samplers.flame import FLAME_WIDTH
from samplers.flame.expression import EXPRESSION, EYELIDS, JAW, SIDEWAYS
from synthgen.errors import PictureError, WeightsError
from synthgen.foreign import excerpt

LICENCE = "SMIRK's weights: published without a licence, so for research only"

SIDE = 224
"""Side of the input [pixels]."""

FEATURES = 960
"""Channels of the last feature map."""

_EPSILON = 1e-3
_STEM = 16

# channels out, stride of the first block, channels inside each block (Howard et al., Table 1)
_STAGES = (
    (24, 2, (64, 72)),
    (40, 2, (72, 120, 120)),
    (80, 2, (240, 200, 184, 184)),
    (112, 1, (480, 672)),
    (160, 2, (672, 960, 960)),
)

_PREFIX = "smirk_encoder.expression_encoder."
_NOT_NEEDED = ("smirk_encoder.pose_encoder.", "smirk_encoder.shape_encoder.", "smirk_generator.")


class SmirkEncoder(nn.Module):
    """Reads expressions from aligned faces; see `crop_face`.

    Args:
        bgr: whether the network is fed with the colours the other way round, as the demo of
            Arc2Face's Expression Adapter does; it was trained on RGB. Images are RGB in any case.
        fingerprint: `sha256:…` of the file that the weights come from.

    Attributes:
        name: name of the extractor in a bank.
        licence: licence of the weights.
    """

    licence = LICENCE

    def __init__(self, bgr: bool = False, fingerprint: str = "") -> None:
        super().__init__()
        self.bgr = bgr
        self.fingerprint = fingerprint
        self.name = "smirk-bgr" if bgr else "smirk"
        self.encoder = MobileNetV3()
        self.expression_layers = nn.Sequential(nn.Linear(FEATURES, FLAME_WIDTH))

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        bgr: bool = False,
        device: str | torch.device = "cpu",
    ) -> "SmirkEncoder":
        """Read the published `SMIRK_em1.pt`; nothing in it is run.

        Its networks of pose, shape and rendering are left out.

        Args:
            path: the file.
            bgr: whether the network is fed with the colours the other way round.
            device: where the network is put.

        Returns:
            The network in evaluation mode, float32, frozen.

        Raises:
            WeightsError: if there is no such file, it holds anything but tensors, or these are not
                exactly those of SMIRK's expression network, or not finite.
        """
        path = Path(path)
        if not path.exists():
            raise WeightsError(
                f"{excerpt(path)} does not exist; give SMIRK_em1.pt, which SMIRK's authors publish "
                "without a licence: research only"
            )
        network = cls(bgr, f"sha256:{file_sha256(path)}")
        wanted = {f"{_PREFIX}{name}": value for name, value in network.state_dict().items()}
        found = check_tensors(_needed(read_pickled_tensors(path)), wanted, excerpt(path))
        network.load_state_dict({name.removeprefix(_PREFIX): found[name] for name in wanted})
        return network.eval().requires_grad_(False).to(device)

    def forward(self, images: Tensor) -> Float[Tensor, "B 55"]:
        """Read the expressions of aligned faces.

        Args:
            images: [B, 3, 224, 224], RGB in [0, 1], not normalised.

        Returns:
            50 expression coefficients; 2 eyelids in [0, 1]; the jaw's opening, 0 or more, and its
            turn and tilt to the side, within ±0.2 [radians].

        Raises:
            PictureError: if the images are of another size, or their pixels not within [0, 1].
        """
        refuse_images(images, "SMIRK")
        pixels = images.flip(1) if self.bgr else images
        features = self.encoder(pixels).mean((2, 3))  # [B, 960]
        numbers = self.expression_layers(features)
        jaw = numbers[:, JAW]
        return torch.cat(
            [
                numbers[:, EXPRESSION],
                numbers[:, EYELIDS].clamp(0, 1),
                jaw[:, :1].relu(),
                jaw[:, 1:].clamp(-SIDEWAYS, SIDEWAYS),
            ],
            dim=1,
        )


class MobileNetV3(nn.Module):
    """The large minimal MobileNetV3 up to its last feature map, without a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _convolution(3, _STEM, stride=2)
        self.bn1 = _Normalised(_STEM)
        stages: list[nn.Module] = [nn.Sequential(DepthwiseBlock(_STEM))]
        channels = _STEM
        for out, stride, insides in _STAGES:
            blocks = []
            for place, inside in enumerate(insides):
                blocks.append(InvertedResidual(channels, inside, out, 1 if place else stride))
                channels = out
            stages.append(nn.Sequential(*blocks))
        stages.append(nn.Sequential(PointwiseBlock(channels, FEATURES)))
        self.blocks = nn.Sequential(*stages)

    def forward(self, x: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 960 k l"]:
        """Return the last feature map, a 32nd as high and wide as the images."""
        return self.blocks(self.bn1(self.conv_stem(x)).relu())


class DepthwiseBlock(nn.Module):
    """A 3×3 convolution of each channel, then one of 1×1 across them, beside a shortcut.

    Args:
        channels: channels in and out.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = _convolution(channels, channels, groups=channels)
        self.bn1 = _Normalised(channels)
        self.conv_pw = _convolution(channels, channels, kernel=1)
        self.bn2 = _Normalised(channels)

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B c h w"]:
        """Return x + F(x)."""
        return x + self.bn2(self.conv_pw(self.bn1(self.conv_dw(x)).relu()))


class InvertedResidual(nn.Module):
    """Widens, filters each channel, narrows without a nonlinearity (Sandler et al., CVPR 2018).

    Args:
        channels: channels in.
        inside: channels that are filtered.
        out: channels out; there is a shortcut where they are those in, at a stride of 1.
        stride: stride of the filter.
    """

    def __init__(self, channels: int, inside: int, out: int, stride: int) -> None:
        super().__init__()
        self.has_shortcut = channels == out and stride == 1
        self.conv_pw = _convolution(channels, inside, kernel=1)
        self.bn1 = _Normalised(inside)
        self.conv_dw = _convolution(inside, inside, stride=stride, groups=inside)
        self.bn2 = _Normalised(inside)
        self.conv_pwl = _convolution(inside, out, kernel=1)
        self.bn3 = _Normalised(out)

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B d k l"]:
        """Return F(x), or x + F(x) where the shapes allow it."""
        wide = self.bn1(self.conv_pw(x)).relu()
        narrow = self.bn3(self.conv_pwl(self.bn2(self.conv_dw(wide)).relu()))
        return x + narrow if self.has_shortcut else narrow


class PointwiseBlock(nn.Module):
    """A 1×1 convolution and a ReLU.

    Args:
        channels: channels in.
        out: channels out.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = _convolution(channels, out, kernel=1)
        self.bn1 = _Normalised(out)

    def forward(self, x: Float[Tensor, "B c h w"]) -> Float[Tensor, "B d h w"]:
        """Return ReLU(F(x))."""
        return self.bn1(self.conv(x)).relu()


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's "same": what is odd goes behind, not before."""

    def forward(self, input: Float[Tensor, "B c h w"]) -> Float[Tensor, "B d k l"]:  # noqa: A002
        """Return the convolution, as high and wide as the input over the stride, rounded up."""
        down, across = (self._missing(input.shape[2 + axis], axis) for axis in (0, 1))
        padding = (across // 2, across - across // 2, down // 2, down - down // 2)
        return super().forward(functional.pad(input, padding))

    def _missing(self, length: int, axis: int) -> int:
        """Return how many rows or columns the last place of the kernel would reach too far."""
        stride, kernel = self.stride[axis], self.kernel_size[axis]
        return max((-(-length // stride) - 1) * stride + kernel - length, 0)


class _Normalised(nn.BatchNorm2d):
    """Batch normalisation with TensorFlow's epsilon."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPSILON)


def refuse_images(images: Tensor, by: str) -> None:
    """Refuse what is no batch of aligned faces.

    Args:
        images: [B, 3, 224, 224], in [0, 1].
        by: who takes them, for the error.

    Raises:
        PictureError: if the images are of another size, or their pixels not within [0, 1].
    """
    if images.ndim != 4 or tuple(images.shape[1:]) != (3, SIDE, SIDE):
        raise PictureError(
            f"{by} takes images of shape [b, 3, {SIDE}, {SIDE}], and these have "
            f"{list(images.shape)}; crop_face makes faces of that size"
        )
    if not images.is_floating_point():
        raise PictureError(
            f"{by} takes pixels from 0 to 1, and these are of type {images.dtype}; divide bytes "
            "by 255"
        )
    if not images.numel():
        return
    least, most = (float(value) for value in images.aminmax())
    if not (least >= 0 and most <= 1):  # NaN is refused, too
        raise PictureError(
            f"{by} takes pixels from 0 to 1, and these go from {least:g} to {most:g}; divide "
            "bytes by 255"
        )


def _convolution(
    channels: int, out: int, *, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    if stride > 1:
        return SameConv2d(channels, out, kernel, stride, groups=groups, bias=False)
    return nn.Conv2d(channels, out, kernel, padding=kernel // 2, groups=groups, bias=False)


def _needed(found: object) -> object:
    """Leave out the networks that are published in the same file and not needed."""
    if not isinstance(found, dict):
        return found  # refused by whoever checks the tensors, in its own words
    return {name: found[name] for name in found if not str(name).startswith(_NOT_NEEDED)}
