"""The second judge: a plain stack of convolutions that reads AUs and the traits of a person.

It shares nothing with the AU network that accepts images: another architecture (no shortcuts, no
global pooling: where something stands is kept to the end), other faces, other changes to them,
another loss. Its file is a safetensors file whose metadata says what the network looks like, and
which AUs it reads if these are not the 12 of DISFA.

Shapes: B batch, side = `INPUT_SIDE`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.attributes.network import TraitReader, read_shape
from pipelines.checkpoints import built_strictly, read_safetensors
from pipelines.procedural.vocabulary import TRAITS
from pipelines.weight_files import ACTION_UNITS_KEY, named_aus
from synthgen.action_units import DEFAULT_AUS, MAX_INTENSITY, ActionUnitSet
from synthgen.errors import WeightsError

FORMAT = "synthgen-judge-1"
JUDGED_TRAITS = ("hair", "skin", "age", "person")
INPUT_SIDE = 112
"""Side of the input [pixels]: the middle of a portrait of 128 pixels."""

_HEADS = re.compile(r"^traits\.")
"""Beginning of the names of the traits' heads in older files."""


class JudgeOutput(NamedTuple):
    """Measurements of the judge.

    Attributes:
        aus: AU intensities, about [0–5].
        traits: trait → logits of its values, in the order of `vocabulary.TRAITS`.
    """

    aus: Float[Tensor, "B aus"]
    traits: dict[str, Float[Tensor, "B values"]]


class JudgeNetwork(TraitReader):
    """Reads the expression and the traits of a portrait.

    Args:
        channels, narrow, hidden: as of `TraitReader`.
        action_units: the AUs that it reads.
    """

    def __init__(
        self,
        channels: Sequence[int],
        narrow: int,
        hidden: int,
        action_units: ActionUnitSet = DEFAULT_AUS,
    ) -> None:
        judged = {trait: TRAITS[trait] for trait in JUDGED_TRAITS}
        super().__init__(channels, narrow, hidden, INPUT_SIDE, judged)
        self.action_units = action_units
        self.intensity = nn.Linear(hidden, len(action_units))

    def forward(self, pixels: Float[Tensor, "B 3 side side"]) -> JudgeOutput:
        """Read portraits of pixels in [0, 1]."""
        features = self.features(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            aus = MAX_INTENSITY * self.intensity(features)
            return JudgeOutput(aus, self.trait_logits(features))


def save_judge(
    network: JudgeNetwork, path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a judge's weights as float32, and what it looks like."""
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    kept = {**(metadata or {}), "format": FORMAT, "shape": json.dumps(network.shape)}
    if network.action_units != DEFAULT_AUS:
        kept[ACTION_UNITS_KEY] = ",".join(network.action_units.names)
    save_file(tensors, path, kept)


def load_judge(path: str | Path) -> JudgeNetwork:
    """Read a judge.

    Returns:
        The network in evaluation mode, on the CPU.

    Raises:
        WeightsError: if the file is missing, is none that `synthgen train judge` wrote, or does not
            hold exactly the network's tensors.
    """
    file = Path(path)
    if not file.exists():
        raise WeightsError(
            f"judge {file} does not exist; `synthgen train judge CONFIG --to FOLDER` makes one"
        )
    tensors, metadata = read_safetensors(file)
    if metadata.get("format") != FORMAT:
        raise WeightsError(
            f"{file} is no judge that `synthgen train judge` wrote: its format is "
            f"{metadata.get('format')!r}, it must be {FORMAT!r}"
        )
    shape = read_shape(metadata.get("shape", ""), file, "judge")
    aus = named_aus(metadata, str(file)) or DEFAULT_AUS
    named = {_HEADS.sub("heads.", name): value for name, value in tensors.items()}
    return built_strictly(lambda: JudgeNetwork(*shape, aus), named, str(file)).eval()
