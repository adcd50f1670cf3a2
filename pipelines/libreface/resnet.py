"""ResNet-18 without its last layer, its modules numbered as LibreFace numbers them.

He et al., "Deep residual learning for image recognition", CVPR 2016, Table 1. LibreFace wraps
torchvision's ResNet-18 into a plain sequence; the same order here gives the same names.

Shapes: B batch.
"""

from jaxtyping import Float
from torch import Tensor, nn

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
