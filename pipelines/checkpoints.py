"""Read checkpoint files that others made: nothing in them is ever run.

A `.pt` or `.ckpt` file is a pickle, and a pickle may hold code. Only tensors in plain containers
are let through (`torch.load(weights_only=True)`); safetensors files hold nothing else.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipelines.checksum import file_sha256 as file_sha256
from synthgen.errors import WeightsError
from synthgen.foreign import first_line

SAFETENSORS_SUFFIX = ".safetensors"

_SHOWN_NAMES = 5


def read_pickled_tensors(path: Path) -> Any:
    """Read a `.pt`, `.ckpt` or `.bin` file without running code from it.

    Returns:
        What the file holds: tensors in dicts and lists, on the CPU.

    Raises:
        WeightsError: if the file is missing, is no PyTorch file, or holds anything but tensors.
    """
    _check_exists(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is refused: it is no PyTorch file of plain tensors, and a pickle can run code"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise WeightsError(
            f"{path} cannot be read as a PyTorch file: {first_line(error)}"
        ) from error


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file.

    Returns:
        The tensors by name, on the CPU, and the metadata of the file.

    Raises:
        WeightsError: if the file is missing or is no safetensors file.
    """
    _check_exists(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {first_line(error)}") from error


def check_tensors(found: object, wanted: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Check that a checkpoint holds exactly the tensors that a network needs.

    Args:
        found: what was read from the file.
        wanted: name → tensor of the right shape, such as a module's `state_dict()`.
        where: the file, for the error.

    Returns:
        The checkpoint's tensors by name.

    Raises:
        WeightsError: if it is no dict of tensors, if names are missing or unexpected, or if a
            shape is wrong.
    """
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise WeightsError(f"{where} must hold a dict of tensors by name, and holds something else")
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing or unexpected:
        parts = [("missing", missing), ("unexpected", unexpected)]
        said = "; ".join(f"{what}: {_names(names)}" for what, names in parts if names)
        raise WeightsError(f"{where} does not fit the network; {said}")
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise WeightsError(
                f"{where}: {name} has shape {list(value.shape)}; "
                f"it must have {list(wanted[name].shape)}"
            )
    return dict(found)


def load_strictly(module: nn.Module, found: object, where: str) -> None:
    """Put a checkpoint's tensors into a module, all of them and no others.

    Raises:
        WeightsError: as `check_tensors`.
    """
    module.load_state_dict(check_tensors(found, module.state_dict(), where), strict=True)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        raise WeightsError(f"weight file {path} does not exist")


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return ", ".join(names[:_SHOWN_NAMES]) + more
