"""Load the models of a Stable Diffusion folder, each whole or not at all."""

from pathlib import Path
from typing import Any

import torch

from synthgen.errors import WeightsError

_SHOWN_NAMES = 5


def load_model(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Load one model, and refuse one that would be left partly random.

    Args:
        kind: class of diffusers or transformers, such as `AutoencoderKL`.
        folder: its folder, with config and safetensors.
        dtype: number format of its weights.

    Raises:
        WeightsError: if tensors are missing or of another shape than the config says.
    """
    model, info = kind.from_pretrained(
        folder, dtype=dtype, output_loading_info=True, use_safetensors=True
    )
    for what in ("missing_keys", "mismatched_keys"):
        if info[what]:
            names = ", ".join(map(str, sorted(info[what])[:_SHOWN_NAMES]))
            raise WeightsError(
                f"{folder} does not fit its config.json; {what.replace('_', ' ')}: {names}"
            )
    return model
