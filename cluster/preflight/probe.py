"""Probe of one machine: GPUs, memory, versions, the output; loads neither torch nor Ray."""

import contextlib
import functools
import os
import platform
import runpy
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import metadata, util
from pathlib import Path

from cluster.preflight.weights import find_weights
from cluster.records import components_fingerprint
from synthgen import __version__
from synthgen.config import RunConfig
from synthgen.config.base import Weights
from synthgen.dataset import layout, reached
from synthgen.errors import SynthgenError

PACKAGES = (
    "diffusers", "numpy", "peft", "pillow", "pyarrow", "ray", "safetensors", "scipy", "torch",
    "transformers",
)  # fmt: skip
"""Packages whose versions are compared between nodes, besides Python and synthgen."""

MIB = 1 << 20

_SECONDS = 20.0
"""Patience with nvidia-smi [s]."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU.

    Attributes:
        name: its kind.
        total: its memory [bytes].
        free: what nobody uses of it [bytes].
    """

    name: str
    total: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Equipment of a machine.

    Attributes:
        host: its name.
        gpus: those that the driver shows; none where there is no NVIDIA driver.
        memory: main memory that is free for processes [bytes]; None where it is not known.
        versions: package → version; `absent` where it is not installed.
        cuda: version of CUDA (or ROCm) that torch is built for; None: a torch for CPUs alone.
        total: main memory of the machine or the container [bytes]; None where it is not known.
    """

    host: str
    gpus: tuple[Gpu, ...]
    memory: int | None
    versions: Mapping[str, str]
    cuda: str | None
    total: int | None = None


def this_machine() -> Machine:
    """Look at this machine."""
    return Machine(
        socket.gethostname(), _gpus(), _free_memory(), _versions(), _cuda_of_torch(), _memory()
    )


def usable_gpus() -> int:
    """Return how many GPUs there are for the torch that is installed."""
    return len(_gpus()) if _cuda_of_torch() else 0


def _gpus() -> tuple[Gpu, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = ["--query-gpu=name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(  # noqa: S603
            [command, *query], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ()  # a driver that does not answer: torch sees no GPU either
    return parse_gpus(done.stdout)


def parse_gpus(text: str) -> tuple[Gpu, ...]:
    """Read nvidia-smi's table of name, total and free memory [MiB]; other lines are left out."""
    rows = [[cell.strip() for cell in line.rsplit(",", 2)] for line in text.splitlines()]
    return tuple(
        Gpu(name, int(total) * MIB, int(free) * MIB)
        for name, total, free in (row for row in rows if len(row) == 3)
        if total.isdecimal() and free.isdecimal()
    )


def _free_memory() -> int | None:
    """Return what the machine and the container, whichever is less, have left."""
    limit, used = _of_container("memory.max"), _of_container("memory.current")
    left = None if limit is None or used is None else limit - used
    return min((value for value in (_of_machine("MemAvailable:"), left) if value), default=None)


def _memory() -> int | None:
    """Return what the machine, with its swap, or the container may use at most."""
    own, swap = _of_machine("MemTotal:"), _of_machine("SwapTotal:")
    both = None if own is None else own + (swap or 0)
    limits = (both, _of_container("memory.max"))
    return min((value for value in limits if value), default=None)


def _of_machine(key: str, file: Path = Path("/proc/meminfo")) -> int | None:
    if not file.is_file():
        return None
    for line in file.read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024
    return None


def _of_container(name: str, folder: Path = Path("/sys/fs/cgroup")) -> int | None:
    file = folder / name
    if not file.is_file():
        return None
    text = file.read_text().strip()
    return int(text) if text.isdecimal() else None


def _versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "synthgen": __version__}
    return own | {package: _version(package) for package in PACKAGES}


@functools.cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _cuda_of_torch() -> str | None:
    """Read what torch is built for from its version file: importing it takes seconds."""
    spec = util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    said = runpy.run_path(str(Path(spec.origin).parent / "version.py"))
    return said.get("cuda") or said.get("hip")


@dataclass(frozen=True, slots=True)
class Output:
    """State of the output as a machine finds it.

    Attributes:
        free: room that is left [bytes]; None where nobody says, as with object stores.
        problem: why nothing can be written there; None: it can.
        shared: whether a file that the driver wrote there is seen; None: not looked for.
    """

    free: int | None = None
    problem: str | None = None
    shared: bool | None = None


def is_local(path: str) -> bool:
    """Tell whether an output lies in the machine's own file system."""
    return "://" not in path or path.startswith("file://")


def probe_output(path: str, beacon: str | None = None) -> Output:
    """Write a file at the output and delete it again.

    Args:
        path: the output; it need not exist, and nothing is left there.
        beacon: file that the driver wrote, to be looked for.
    """
    seen = None if beacon is None else Path(beacon).is_file()
    if not is_local(path):
        return Output(problem=_put_and_delete(path))
    folder = _local(path)
    nearest = _nearest(folder)
    return Output(shutil.disk_usage(nearest).free, _write_and_delete(folder, nearest), seen)


@contextlib.contextmanager
def lit_beacon(path: str) -> Iterator[str | None]:
    """Keep a file where the output will be, for other machines to look for; yield its name.

    None is yielded where the output is an object store, or nothing can be written.
    """
    if not is_local(path):
        yield None
        return
    file = _nearest(_local(path)) / layout.temporary_file("seen", secrets.token_hex(8))
    try:
        file.touch(exist_ok=False)
    except OSError:
        yield None  # the probe says why
        return
    try:
        yield str(file)
    finally:
        file.unlink(missing_ok=True)


def _local(path: str) -> Path:
    return Path(path.removeprefix("file://")).expanduser().absolute()


def _nearest(folder: Path) -> Path:
    """Return the folder, or where it would be made: the nearest that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _write_and_delete(folder: Path, nearest: Path) -> str | None:
    if not nearest.is_dir():
        return f"{nearest} is a file; output.path must be a folder"
    # Inside an output, only names of ours in .synthgen pass for leftovers of a run.
    place = folder / ".synthgen" if nearest == folder else nearest
    name = layout.temporary_file(layout.RUN, secrets.token_hex(8)).rpartition("/")[2]
    made = not place.exists()
    try:
        place.mkdir(exist_ok=True)
        try:
            (place / name).write_bytes(b"probe")
        finally:
            (place / name).unlink(missing_ok=True)
    except OSError as error:
        return f"cannot write to {place}: {os.strerror(error.errno or 0)}"
    finally:
        if made and place.exists():
            with contextlib.suppress(OSError):  # another run has begun there
                place.rmdir()
    return None


def _put_and_delete(url: str) -> str | None:
    name = layout.temporary_file(layout.RUN, secrets.token_hex(8))
    try:
        storage = reached(url)
        storage.write(name, b"probe")
        storage.delete(name)
    except SynthgenError as error:
        return str(error)
    return None


@dataclass(frozen=True, slots=True)
class Probe:
    """Equipment of one machine for a run.

    Attributes:
        machine: GPUs, memory, versions.
        weights: which weights are there.
        output: whether it may write.
    """

    machine: Machine
    weights: Weights
    output: Output


def probe(config: RunConfig, beacon: str | None = None) -> Probe:
    """Look at this machine.

    Args:
        config: the run.
        beacon: file that the driver wrote where the output will be.
    """
    machine = this_machine()
    others = components_fingerprint(config).get("versions", {})
    return Probe(
        replace(machine, versions={**machine.versions, **others}),
        find_weights(config),
        probe_output(config.output.path, beacon),
    )
