"""AUs as callers write them, turned into one vector per prompt."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from synthgen.action_units import AU_COUNT, au_vector
from synthgen.errors import ActionUnitError

AUs = Any
"""A dict, a list of dicts, or numbers of the shape [12] or [batch, 12] in any array type."""


def au_batch(aus: AUs, prompts: int) -> Float[Tensor, "prompts aus"]:
    """Return one AU vector per prompt.

    Args:
        aus: `{"AU12": 5}`, a list of such dicts, or an array, tensor or sequence [12] or
            [prompts, 12] of intensities in the order of `synthgen.action_units.AUS`. One vector is
            used for all prompts. Values outside [0, 5] are allowed.
        prompts: number of prompts.

    Returns:
        Intensities, float32, on the CPU.

    Raises:
        ActionUnitError: if an AU is unknown, a value is not finite, or the shape does not fit.
    """
    vectors = torch.tensor(_rows(aus)) if _is_named(aus) else _from_numbers(aus)
    if vectors.shape[0] not in (1, prompts):
        raise ActionUnitError(
            f"{vectors.shape[0]} AU vectors for {prompts} prompts; give one for all prompts, "
            "or one for each"
        )
    return vectors.expand(prompts, -1)


def _is_named(aus: AUs) -> bool:
    return isinstance(aus, Mapping) or (
        isinstance(aus, Sequence) and len(aus) > 0 and all(isinstance(row, Mapping) for row in aus)
    )


def _rows(aus: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[tuple[float, ...]]:
    rows = [aus] if isinstance(aus, Mapping) else aus
    return [au_vector({name: _number(value) for name, value in row.items()}) for row in rows]


def _number(value: Any) -> Any:
    """Unwrap the scalars of numpy and torch."""
    return value.item() if getattr(value, "ndim", None) == 0 else value


def _from_numbers(aus: AUs) -> Tensor:
    try:
        vectors = torch.as_tensor(aus, dtype=torch.float32, device="cpu").detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ActionUnitError(
            f"AUs must be a dict, a list of dicts, or numbers [{AU_COUNT}] or "
            f"[batch, {AU_COUNT}]; got {type(aus).__name__}"
        ) from error
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != AU_COUNT:
        raise ActionUnitError(
            f"AUs have shape {list(vectors.shape)}; it must be [{AU_COUNT}] or [batch, {AU_COUNT}]"
        )
    if not vectors.isfinite().all():
        raise ActionUnitError("AUs hold NaN or infinity; they must be finite numbers")
    return vectors.reshape(-1, AU_COUNT)
