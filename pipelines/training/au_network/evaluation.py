"""Agreement of an AU network with held-out drawn faces: each AU, each side, each skin.

Shapes: n faces; sided, AUs whose sides are told apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader

from pipelines.evaluation.statistics import AUAgreement, agreement
from pipelines.libreface.network import LibreFaceNetwork
from pipelines.procedural.vocabulary import SKINS
from pipelines.training.au_network.faces import HeldOutFaces
from pipelines.training.au_network.learner import AUNetworkConfig
from synthgen.action_units import MAX_INTENSITY, ActionUnitSet

_AT_ONCE = 50

ABOVE = 1.0
"""Intensity above which a policy refuses a face for an AU that nobody asked for."""

SIDES = ("left", "right")
"""Sides of the person, in the order in which they are learned."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Held-out faces as drawn and as measured [0–5].

    Attributes:
        drawn: AU vectors.
        measured: the same.
        drawn_sides: of the person's left and right side.
        measured_sides: the same.
    """

    drawn: Float[np.ndarray, "n aus"]
    measured: Float[np.ndarray, "n aus"]
    drawn_sides: Float[np.ndarray, "n 2 sided"]
    measured_sides: Float[np.ndarray, "n 2 sided"]


def read_faces(
    network: LibreFaceNetwork,
    faces: HeldOutFaces,
    workers: int = 0,
    prepare: Callable[[Tensor], Tensor] = lambda pixels: pixels,
) -> Readings:
    """Measure held-out faces.

    Args:
        network: a network in evaluation mode.
        faces: the faces.
        workers: processes that draw them; 0: this one.
        prepare: makes of normalised crops what the network is shown.
    """
    parts: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
    with torch.inference_mode():
        for batch in DataLoader(faces, _AT_ONCE, num_workers=workers):
            features = network.encoder(prepare(batch.pixels)).flatten(1)  # [B, 512]
            aus = MAX_INTENSITY * network.classifier(features)
            sides = batch.sides
            if network.sided:
                sides = MAX_INTENSITY * network.sides(features)
            parts.append((batch.aus, aus, batch.sides, sides))
    return Readings(*(torch.cat(part).numpy() for part in zip(*parts, strict=True)))


def compare(readings: Readings, action_units: ActionUnitSet) -> dict[str, AUAgreement]:
    """Return AU → its agreement."""
    return agreement(readings.drawn, readings.measured, action_units)


def evaluate_faces(network: LibreFaceNetwork, config: AUNetworkConfig) -> dict[str, Any]:
    """Measure held-out faces, as drawn and, where the training decodes faces, decoded.

    Args:
        network: the network that was exported.
        config: the training run.

    Returns:
        `held_out`: AU → its agreement; `held_out_sides`: side → AU → the same, where there are
        sides; `not_drawn_by_skin`: AU → skin → what is measured of it where it is not drawn. Where
        faces are decoded, each name once more with `_decoded`.
    """
    found = _evaluated(network, config, decoded=False)
    if config.decoded is not None:
        more = _evaluated(network, config, decoded=True)
        found |= {f"{name}_decoded": value for name, value in more.items()}
    return found


def _evaluated(network: LibreFaceNetwork, config: AUNetworkConfig, decoded: bool) -> dict[str, Any]:
    faces = HeldOutFaces(config, config.evaluation.faces, decoded)
    readings = read_faces(network, faces, config.workers)
    skins = [faces.person(index).traits["skin"] for index in range(len(faces))]
    aus = network.action_units
    found: dict[str, Any] = {"held_out": _as_dicts(compare(readings, aus))}
    if network.sided:
        sided = ActionUnitSet(network.sided)
        found["held_out_sides"] = {
            side: _as_dicts(
                agreement(readings.drawn_sides[:, place], readings.measured_sides[:, place], sided)
            )
            for place, side in enumerate(SIDES)
        }
    found["not_drawn_by_skin"] = not_drawn_by_skin(readings, aus, skins)
    return found


def not_drawn_by_skin(
    readings: Readings, action_units: ActionUnitSet, skins: Sequence[str]
) -> dict[str, dict[str, dict[str, int | float]]]:
    """Return what is measured of AUs that are not drawn, for each skin.

    Args:
        readings: the faces.
        action_units: the AUs of their vectors.
        skins: skin of each face.

    Returns:
        AU → skin → `faces` that do not show it, `mean` measured in them, and the share of them in
        which it is `above` 1.
    """
    told = np.array(skins)
    return {
        name: {
            skin: _where_absent(readings.drawn[told == skin, place], values[told == skin])
            for skin in SKINS
        }
        for place, (name, values) in enumerate(
            zip(action_units.names, readings.measured.T, strict=True)
        )
    }


def _where_absent(
    drawn: Float[np.ndarray, " n"], measured: Float[np.ndarray, " n"]
) -> dict[str, int | float]:
    absent = measured[drawn == 0]
    if not absent.size:
        return {"faces": 0, "mean": float("nan"), "above": float("nan")}
    return {
        "faces": absent.size,
        "mean": float(absent.mean()),
        "above": float((absent > ABOVE).mean()),
    }


def _as_dicts(found: dict[str, AUAgreement]) -> dict[str, dict[str, float]]:
    return {name: asdict(value) for name, value in found.items()}
