"""The network as it measures: batch normalisation folded into the convolutions.

In evaluation, normalisation is a fixed scale and shift per channel, so it can be part of the
convolution before it; with pixels laid out channel by channel last, ResNet-18 then takes about two
thirds of the time on a CPU. Outputs move by some 1e-7.
"""

import copy
from typing import cast

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipelines.libreface.network import LibreFaceNetwork
from pipelines.libreface.resnet import BasicBlock


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
