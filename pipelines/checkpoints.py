"""Read checkpoint files that others made: nothing in them is ever run.

A `.pt` or `.ckpt` file is a pickle, and a pickle may hold code. Only tensors in plain containers
are let through (`torch.load(weights_only=True)`); safetensors files hold nothing else.
"""

import pickle
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from pipelines.weight_files import check_zip, read_safetensors_header
from synthgen.errors import WeightsError
from synthgen.foreign import excerpt, first_few, first_line

Network = TypeVar("Network", bound=nn.Module)

SAFETENSORS_SUFFIX = ".safetensors"

_SHOWN_NAMES = 5

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_FORMATS = "float16, bfloat16, float32 or float64"


def read_pickled_tensors(path: Path) -> Any:
    """Read a `.pt`, `.ckpt` or `.bin` file without running code from it.

    Returns:
        What the file holds: tensors in dicts and lists, on the CPU.

    Raises:
        WeightsError: if the file is missing, is no PyTorch file, holds anything but tensors, or
            claims more numbers than it has.
    """
    check_zip(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path} is refused: it is no PyTorch file of plain tensors, and a pickle can run code"
        ) from error
    except Exception as error:  # of torch's reader, which trusts what a damaged pickle says
        raise WeightsError(
            f"{path} cannot be read as a PyTorch file: {first_line(error)}"
        ) from error
    _check_backed(found, str(path))
    return found


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file.

    Returns:
        The tensors by name, on the CPU, and the metadata of the file.

    Raises:
        WeightsError: if the file is missing or is no safetensors file.
    """
    read_safetensors_header(path)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (SafetensorError, OSError, ValueError, RuntimeError, TypeError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {first_line(error)}") from error


def in_format(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return tensors as a file or a network wants them: contiguous, on the CPU.

    Args:
        tensors: name → tensor.
        dtype: number format of those that are not whole numbers; the others keep theirs.
    """
    return {
        name: (value.to(dtype) if value.is_floating_point() else value).cpu().contiguous()
        for name, value in tensors.items()
    }


def check_tensors(found: object, wanted: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Check that a checkpoint holds exactly the tensors that a network needs.

    Args:
        found: what was read from the file.
        wanted: name → tensor of the right shape, such as a module's `state_dict()`.
        where: the file, for the error.

    Returns:
        The checkpoint's tensors by name.

    Raises:
        WeightsError: if it is no dict of tensors, if names are missing or unexpected, if a shape
            or a number format is wrong, or if a value is not finite.
    """
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise WeightsError(f"{where} must hold a dict of tensors by name, and holds something else")
    missing = [name for name in wanted if name not in found]
    unexpected = [name for name in found if name not in wanted]
    if missing or unexpected:
        parts = [("missing", missing), ("unexpected", unexpected)]
        said = "; ".join(
            f"{what}: {first_few([excerpt(name, 100) for name in names], _SHOWN_NAMES)}"
            for what, names in parts
            if names
        )
        raise WeightsError(f"{where} does not fit the network; {said}")
    for name, value in found.items():
        if value.shape != wanted[name].shape:
            raise WeightsError(
                f"{where}: {name} has shape {list(value.shape)}; "
                f"it must have {list(wanted[name].shape)}"
            )
        _check_format(value, wanted[name], f"{where}: {name}")
        check_finite(value, name, where)
    return dict(found)


def built_strictly(make: Callable[[], Network], found: object, where: str) -> Network:
    """Build a network that a file describes and load the file's tensors into it.

    The shapes are compared first without memory: a small file may describe a huge network.

    Args:
        make: builds the network.
        found: as `check_tensors`.
        where: the file, for the error.

    Raises:
        WeightsError: as `check_tensors`.
    """
    with torch.device("meta"):
        wanted = make().state_dict()
    tensors = check_tensors(found, wanted, where)
    network = make()
    network.load_state_dict(tensors, strict=True)
    return network


def check_finite(value: Tensor, name: str, where: str, mend: str = "") -> None:
    """Refuse a tensor with NaN or infinity: one such number makes every image black.

    Args:
        value: the tensor.
        name: its name.
        where: its file, for the error.
        mend: what to do, for the error; "": get the file anew.

    Raises:
        WeightsError: if a number is not finite.
    """
    # The extremes cost one pass without a copy, and NaN is passed on to both.
    value = value.detach()
    if not value.is_floating_point() or not value.numel():
        return
    if not all(bool(extreme.isfinite()) for extreme in value.aminmax()):
        wrong = int((~value.isfinite()).sum())
        raise WeightsError(
            f"{where}: {name} holds values that are not finite numbers ({wrong:,} of "
            f"{value.numel():,}); {mend or 'take another file, or download it again'}"
        )


def load_strictly(module: nn.Module, found: object, where: str) -> None:
    """Put a checkpoint's tensors into a module, all of them and no others.

    A module on the device `meta`, whose weights were never drawn, takes the tensors themselves.

    Raises:
        WeightsError: as `check_tensors`.
    """
    wanted = module.state_dict()
    tensors = check_tensors(found, wanted, where)
    unfilled = any(value.is_meta for value in wanted.values())
    if unfilled:
        tensors = {name: value.to(wanted[name].dtype) for name, value in tensors.items()}
    module.load_state_dict(tensors, strict=True, assign=unfilled)


def _check_format(value: Tensor, wanted: Tensor, what: str) -> None:
    """Refuse whole numbers where weights belong and the other way round: both load silently."""
    fits = value.dtype in _FLOATS if wanted.is_floating_point() else value.dtype == wanted.dtype
    if not fits or value.layout != torch.strided:
        raise WeightsError(
            f"{what} holds numbers of the format {_format(value)}; it must be "
            + (_FORMATS if wanted.is_floating_point() else _format(wanted))
        )


def _format(value: Tensor) -> str:
    name = str(value.dtype).removeprefix("torch.")
    return name if value.layout == torch.strided else f"{name}, {value.layout}"


def _check_backed(found: object, where: str) -> None:
    """Refuse tensors that a few stored numbers are spread over: a copy would take their memory."""
    for value in _tensors(found):
        if value.layout != torch.strided or value.is_meta:
            raise WeightsError(f"{where} holds a tensor that is not stored as plain numbers")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise WeightsError(
                f"{where} claims a tensor of {value.numel():,} numbers and stores "
                f"{value.untyped_storage().nbytes() // value.element_size():,}"
            )


def _tensors(found: object) -> Iterator[Tensor]:
    waiting: list[object] = [found]
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, Tensor):
            yield part
        elif isinstance(part, Mapping | list | tuple | set) and id(part) not in seen:
            seen.add(id(part))
            waiting.extend(part.values() if isinstance(part, Mapping) else part)
