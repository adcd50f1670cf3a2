"""The files in which Arc2Face is published, read strictly.

`FoivosPar/Arc2Face` holds a UNet (`arc2face/`) and a text encoder (`encoder/`, a pickle of tensors)
for Stable Diffusion 1.5, which gives the VAE, the tokenizer and the sampler.
"""

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from pipelines.arc2face.identity import check_text
from pipelines.arc2face.weights import PICKLE, SAFE
from pipelines.checkpoints import read_pickled_tensors
from pipelines.diffusion.models import (
    check_joined,
    check_loading_info,
    check_model_finite,
    check_prediction,
    load_model,
)
from pipelines.diffusion.prompts import load_tokenizer
from pipelines.weight_files import read_json, read_model_config
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

_PLACES = "position_ids"
"""Whole numbers that older programs wrote beside the weights of a text encoder."""


def load_parts(
    base: Path, unet: Path, encoder: Path, dtype: torch.dtype, given: dict[str, Any]
) -> dict[str, Any]:
    """Load the models of a pipeline, and refuse those that do not belong together.

    Args:
        base: folder of the base.
        unet: folder of the UNet.
        encoder: folder of the text encoder.
        dtype: number format of the weights.
        given: parts that are there already, by name; they are not loaded.

    Returns:
        `unet`, `vae`, `text_encoder`, `tokenizer`.

    Raises:
        WeightsError: if a file is missing, holds code, or lacks tensors or holds others than its
            config says, or if the models do not belong together.
    """
    read_json(base / "model_index.json", "pipeline index")
    check_prediction(read_model_config(base / "scheduler" / "scheduler_config.json"), base)
    loaders = {
        "unet": lambda: load_model(UNet2DConditionModel, unet, dtype, exact=True),
        "vae": lambda: load_model(AutoencoderKL, base / "vae", dtype),
        "text_encoder": lambda: load_encoder(encoder, dtype),
        "tokenizer": lambda: load_tokenizer(base / "tokenizer"),
    }
    parts = {name: given[name] if name in given else load() for name, load in loaders.items()}
    if all(part is not None for part in parts.values()):
        check_joined(parts, base, base / "vae")
        check_text(parts["tokenizer"], parts["text_encoder"])
    return parts


def load_encoder(folder: Path, dtype: torch.dtype) -> CLIPTextModel:
    """Load a text encoder from safetensors or, as it is published, from a pickle of tensors.

    Args:
        folder: holds `config.json` and `model.safetensors` or `pytorch_model.bin`.
        dtype: number format of its weights.

    Raises:
        WeightsError: if there is no file, it holds code, or it lacks tensors, holds others, or some
            that are not finite.
    """
    path = folder / PICKLE
    if (folder / SAFE).exists() or not path.exists():
        return load_model(CLIPTextModel, folder, dtype, exact=True)
    found = read_pickled_tensors(path)
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()
    ):
        raise WeightsError(f"{path} must hold a dict of tensors by name, and holds something else")
    weights = {name: value for name, value in found.items() if not name.endswith(_PLACES)}
    for name, value in weights.items():
        if not value.is_floating_point():
            raise WeightsError(
                f"{path}: {name} holds numbers of the format {value.dtype}; weights must be "
                "floating-point numbers"
            )
    read_model_config(folder / "config.json", len(weights))
    kind: Any = CLIPTextModel
    try:
        model, info = kind.from_pretrained(
            None,
            config=CLIPTextConfig.from_pretrained(folder),
            state_dict=weights,
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the info
        )
    except Exception as error:  # of whatever a class does with the values of a strange config
        raise WeightsError(f"{folder} cannot be loaded: {first_line(error)}") from error
    check_loading_info(info, folder, exact=True)
    check_model_finite(model, str(folder), dtype)
    return model
