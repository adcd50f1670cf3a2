"""LibreFace's own package as an environment of its own: an interpreter, and made weights.

The package lies beside this environment (`tests/oracle-requirements.txt`). Nothing of it is
changed; what a network would bring is made: see `tests/pipelines/libreface/oracle.py`.
"""

import sys
from pathlib import Path

import torch

from pipelines.libreface.expression import ExpressionNetwork
from pipelines.libreface.network import LibreFaceNetwork

ORACLE = Path(sys.prefix) / "oracle"
THERE = (ORACLE / "libreface").is_dir() and (ORACLE / "timm").is_dir()

_SITE = '''
import sys

class _Torchvision:
    """Declares what torchvision misses in a torch for the CPU, once it is looked for."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(_Torchvision)
            import torch

            operators = torch.library.Library("torchvision", "DEF")
            takes = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            for each in ("nms", "qnms"):
                operators.define(each + takes)
            _Torchvision.operators = operators
        if name == "libreface":
            import timm

            create = timm.create_model
            timm.create_model = lambda name, pretrained: create(name, pretrained=False)
        return None


sys.meta_path.insert(0, _Torchvision)
'''


def make_interpreter(folder, first=""):
    """Write a command that is Python with LibreFace's package.

    Args:
        folder: where.
        first: lines of the shell before Python starts.
    """
    site = folder / "site"
    site.mkdir(parents=True)
    (site / "sitecustomize.py").write_text(_SITE)
    command = folder / "python"
    command.write_text(
        f'#!/bin/sh\n{first}\nexport PYTHONPATH="{site}:{ORACLE}" TORCH_HOME="{folder / "torch"}"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    command.chmod(0o755)
    checkpoints = folder / "torch" / "hub" / "checkpoints"
    checkpoints.mkdir(parents=True)
    torch.manual_seed(0)
    # ImageNet's weights, which the package reads before its own take their place.
    layers = LibreFaceNetwork().encoder
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "avgpool")
    state = {
        f"{names[int(key.split('.')[0])]}.{key.split('.', 1)[1]}": value
        for key, value in layers.state_dict().items()
    }
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    torch.save(state, checkpoints / "resnet18-f37072fd.pth")
    return str(command)


def make_weights(folder):
    """Write weights of both published layouts that tell pictures apart; return their files."""
    aus = folder / "AU_Recognition" / "weights" / "combined_resnet.pt"
    expressions = folder / "Facial_Expression_Recognition" / "weights" / "repvgg.pt"
    for seed, (file, network) in enumerate(
        ((aus, LibreFaceNetwork()), (expressions, ExpressionNetwork()))
    ):
        torch.manual_seed(seed)
        with torch.no_grad():
            for name, value in network.state_dict().items():
                if name.endswith("running_var"):
                    value.uniform_(0.5, 2.0)
                elif name.endswith(("running_mean", "bias")):
                    value.normal_(0, 0.2)
                elif ".4.weight" in name and value.dim() == 2:
                    value.normal_(0, 0.5)
        file.parent.mkdir(parents=True)
        torch.save({"model": network.state_dict()}, file)
    return aus, expressions
