"""The device that a training computes on."""

import torch

from synthgen.errors import ConfigError


def pick_training_device(name: str) -> torch.device:
    """Return the device that a configuration names.

    Raises:
        ConfigError: if this machine has no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {name!r} is not there; there is {_devices()}") from error
    return device


def _devices() -> str:
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    return ", ".join(["auto", "cpu", *gpus])
