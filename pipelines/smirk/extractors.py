"""Extractors of FLAME numbers: SMIRK's for photographs, another for drawn faces, by their files."""

from pathlib import Path

import torch

from pipelines.smirk.drawn import DrawnEncoder
from pipelines.smirk.network import SmirkEncoder
from synthgen.config.priors.flame import MINI_BANK
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt

Extractor = SmirkEncoder | DrawnEncoder

MINI_FILE = Path(__file__).parents[1] / "mini" / "flame_extractor.safetensors"
"""The embedded extractor of drawn faces, where this installation has one."""


def load_extractor(
    named: str | Path, bgr: bool = False, device: str | torch.device = "cpu"
) -> Extractor:
    """Read what reads expressions.

    Args:
        named: SMIRK's published `SMIRK_em1.pt`; a `.safetensors` file that `synthgen train
            flame-extractor` wrote; or `mini`, the embedded one.
        bgr: whether SMIRK is fed with the colours the other way round.
        device: where the network is put.

    Raises:
        WeightsError: if the file is missing or holds something else, or drawn faces are to be read
            with their colours the other way round.
    """
    embedded = str(named) == MINI_BANK
    path = MINI_FILE if embedded else Path(named)
    if path.suffix != ".safetensors":
        return SmirkEncoder.from_file(path, bgr, device)
    if bgr:
        raise WeightsError(
            f"{excerpt(named)} reads drawn faces, which are RGB; leave --bgr out, which is for "
            "SMIRK"
        )
    return DrawnEncoder.from_file(path, device)
