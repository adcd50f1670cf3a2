"""Load the models of a Stable Diffusion folder, each whole or not at all."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_log
from torch import nn
from transformers.utils import logging as transformers_log

from pipelines.checkpoints import check_finite
from pipelines.weight_files import check_number_formats, read_model_config, read_safetensors_header
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.


@contextlib.contextmanager
def no_progress_bars() -> Iterator[None]:
    """Show no progress bars of diffusers and transformers, as long as it is entered."""
    shown = [
        library
        for library in (diffusers_log, transformers_log)
        if library.is_progress_bar_enabled()
    ]
    for library in shown:
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library in shown:
            library.enable_progress_bar()


_SHOWN_NAMES = 5
_WEIGHTS = ("diffusion_pytorch_model.safetensors", "model.safetensors")


def load_model(kind: Any, folder: Path, dtype: torch.dtype) -> Any:
    """Load one model, and refuse one that would be left partly random.

    Its files are looked at before memory is taken, its numbers after they were brought into the
    number format.

    Args:
        kind: class of diffusers or transformers, such as `AutoencoderKL`.
        folder: its folder, with config and safetensors.
        dtype: number format of its weights.

    Raises:
        WeightsError: if a file cannot be read, if tensors are missing or of another shape than the
            config says, are no floating-point numbers, or are not finite.
    """
    check_model_files(folder)
    try:
        model, info = kind.from_pretrained(
            folder, dtype=dtype, output_loading_info=True, use_safetensors=True
        )
    except Exception as error:  # of whatever a class does with the values of a strange config
        raise WeightsError(f"{folder} cannot be loaded: {first_line(error)}") from error
    for what in ("missing_keys", "mismatched_keys"):
        if info[what]:
            names = ", ".join(map(str, sorted(info[what])[:_SHOWN_NAMES]))
            raise WeightsError(
                f"{folder} does not fit its config.json; {what.replace('_', ' ')}: {names}"
            )
    check_model_finite(model, str(folder), dtype)
    return model


def check_text_parts(tokenizer: Any, text_encoder: Any, where: str) -> None:
    """Refuse a tokenizer that another text encoder belongs to.

    Args:
        tokenizer: gives numbers of tokens.
        text_encoder: looks them up.
        where: the folder of both, for the error.

    Raises:
        WeightsError: if the tokenizer has more tokens or places than the text encoder.
    """
    config = text_encoder.config
    for what, asked, there in (
        ("tokens", len(tokenizer), config.vocab_size),
        ("places", tokenizer.model_max_length, config.max_position_embeddings),
    ):
        if asked > there:
            raise WeightsError(
                f"the tokenizer in {where} has {asked} {what}; its text encoder has {there}"
            )


def check_model_finite(model: nn.Module, where: str, dtype: torch.dtype) -> None:
    """Refuse a model with NaN or infinity among its weights.

    Args:
        model: the model.
        where: its folder, for the error.
        dtype: number format that it was brought into; some numbers are too large for float16.

    Raises:
        WeightsError: if a number is not finite.
    """
    mend = (
        "they may be too large for float16: set pipeline.dtype to bfloat16 or float32, or take "
        "another file"
        if dtype == torch.float16
        else ""
    )
    for name, value in model.state_dict().items():
        check_finite(value, name, where, mend)


def check_model_files(folder: Path) -> None:
    """Look at a model's config and safetensors file, before memory is taken.

    Raises:
        WeightsError: if one is missing, cannot be read, or says what cannot be.
    """
    path = next((folder / name for name in _WEIGHTS if (folder / name).exists()), None)
    if path is None:
        raise WeightsError(f"{folder} has no weight file; it must hold {' or '.join(_WEIGHTS)}")
    entries, _ = read_safetensors_header(path)
    check_number_formats(entries, str(path))
    read_model_config(folder / "config.json", len(entries))
