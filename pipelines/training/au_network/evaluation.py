"""How well an AU network measures held-out faces."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from pipelines.evaluation.agreement import AUAgreement, agreement
from pipelines.training.au_network.faces import HeldOutFaces

_AT_ONCE = 50


def evaluate_network(
    measure: Callable[[Tensor], Tensor], faces: HeldOutFaces, workers: int = 0
) -> dict[str, AUAgreement]:
    """Measure held-out faces and compare with what was drawn.

    Args:
        measure: a network in evaluation mode: normalised crops to intensities.
        faces: the faces.
        workers: processes that draw them; 0: this one.
    """
    drawn, measured = [], []
    with torch.inference_mode():
        for batch in DataLoader(faces, _AT_ONCE, num_workers=workers):
            measured.append(measure(batch.pixels))
            drawn.append(batch.aus)
    return agreement(torch.cat(drawn).numpy(), torch.cat(measured).numpy())
