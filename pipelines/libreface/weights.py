"""Files of an AU network's weights; loads no torch."""

import os
from pathlib import Path

from pipelines.weight_files import named_aus, read_safetensors_header
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.errors import WeightsError
from synthgen.foreign import regular_file

LICENCE = "USC research licence: educational, research and non-profit use only"

MINI_FILE = Path(__file__).parents[1] / "mini" / "au_network.safetensors"

PRESENCE_FILE = MINI_FILE.with_name("presence.safetensors")
"""Weights of the network that tells whether the mini network has a face before it."""

_PICKLES = (".pt", ".pth", ".ckpt")
_SUFFIXES = (".safetensors", *_PICKLES)


def find_weights(weights: str | Path) -> tuple[Path, str, str]:
    """Return the weight file that a configuration means, its verifier's name, and its licence.

    Args:
        weights: `mini`, `libreface` (fetched before), or a file or folder.

    Raises:
        WeightsError: if it is missing.
    """
    if weights == "mini":
        if not MINI_FILE.is_file():
            raise WeightsError(
                f"mini AU network {MINI_FILE} is missing; `synthgen train au-net` makes it"
            )
        return MINI_FILE, "libreface-mini", "Apache-2.0"
    if weights == "libreface":
        file = libreface_file()
        if not file.is_file():
            raise WeightsError(
                f"LibreFace's weights {file} are missing; fetch them with "
                "`synthgen weights fetch CONFIG`, or put them there"
            )
        return file, "libreface", LICENCE
    file = find_weight_file(weights)
    return file, f"libreface-{file.stem}", "not stated"


def measured_aus(weights: str | Path) -> ActionUnitSet:
    """Return the AUs that a weight file measures; the 12 of DISFA where it names none.

    So it is, too, where the file is not on this machine: what looks for it says so.

    Args:
        weights: as for `find_weights`.

    Raises:
        WeightsError: if the file is damaged, or names what is no set of AUs.
    """
    try:
        file = find_weights(weights)[0]
    except WeightsError:
        return DEFAULT_AUS
    if file.suffix in _PICKLES:
        return DEFAULT_AUS
    return named_aus(read_safetensors_header(file)[1], str(file)) or DEFAULT_AUS


def find_presence(weights: str | Path, aligner: str) -> Path | None:
    """Return the file of the presence network; None where none knows the pictures.

    Args:
        weights: as for `find_weights`.
        aligner: name of the aligner; one that looks for faces itself needs no such network.

    Raises:
        WeightsError: if it is missing.
    """
    if weights != "mini" or aligner != "centered":
        return None
    if not PRESENCE_FILE.is_file():
        raise WeightsError(
            f"mini presence network {PRESENCE_FILE} is missing; `synthgen train presence` makes it"
        )
    return PRESENCE_FILE


def find_weight_file(path: str | Path) -> Path:
    """Return the weight file that a path means: itself, or the only one in the folder.

    Raises:
        WeightsError: if there is none, or more than one, or it has another suffix.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise WeightsError(f"AU network {path} does not exist; it must be a file or a folder")
        regular_file(path, "AU network", WeightsError)
        if path.suffix not in _SUFFIXES:
            raise WeightsError(f"{path} is no weight file; allowed are {', '.join(_SUFFIXES)}")
        return path
    files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if len(files) != 1:
        names = ", ".join(file.name for file in files) or "none"
        raise WeightsError(f"folder {path} must hold exactly one weight file; it holds: {names}")
    return files[0]


def cache_folder() -> Path:
    """Return the folder of fetched weights: `SYNTHGEN_CACHE`, or `~/.cache/synthgen`."""
    return Path(os.environ.get("SYNTHGEN_CACHE") or Path.home() / ".cache" / "synthgen")


def libreface_file(cache: Path | None = None) -> Path:
    """Return where LibreFace's weights are kept, whether they are there or not."""
    return (cache or cache_folder()) / "libreface" / "combined_resnet.pt"


def expression_file(cache: Path | None = None) -> Path:
    """Return where LibreFace's expression weights are kept, whether they are there or not."""
    return (cache or cache_folder()) / "libreface" / "repvgg.pt"


def find_expression_weights(weights: str | Path) -> Path:
    """Return the file of an expression network: `libreface`, fetched before, or a file.

    Raises:
        WeightsError: if it is missing, or has another suffix.
    """
    if weights == "libreface":
        file = expression_file()
        if not file.is_file():
            raise WeightsError(
                f"LibreFace's expression weights {file} are missing; fetch them with "
                "`synthgen weights fetch CONFIG`, or put them there"
            )
        return file
    regular_file(weights, "expression network", WeightsError)
    if (path := Path(weights)).suffix not in _PICKLES:
        raise WeightsError(f"{path} is no weight file; allowed are {', '.join(_PICKLES)}")
    return path
