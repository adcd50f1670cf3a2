"""Files of the baselines, in formats of their kinds; loads no torch.

A folder holds `baseline.json`, which says by which method it was trained and which AUs it was told,
and

- `lora-t`: `pytorch_lora_weights.safetensors`, a LoRA as peft and diffusers write it;
- `lora-au`: one such file for each AU, `AU12.safetensors`;
- `dreambooth`: `unet/`, the whole UNet as diffusers saves it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pipelines.fineface.weights import base_files, base_folder, base_licence, vae_folder
from pipelines.hub import resolve
from pipelines.weight_files import check_sha256, file_sha256, read_json
from synthgen.action_units import ActionUnitSet
from synthgen.errors import ActionUnitError, WeightsError
from synthgen.foreign import excerpt, shown

Method = Literal["words", "lora-t", "lora-au", "dreambooth"]
METHODS: tuple[Method, ...] = get_args(Method)
TRAINED_METHODS = METHODS[1:]

ABOUT_FILE = "baseline.json"
LORA_FILE = "pytorch_lora_weights.safetensors"
UNET = "unet"
_UNET_FILES = (f"{UNET}/config.json", f"{UNET}/diffusion_pytorch_model.safetensors")

_SETTING = "pipeline.weights.trained"


@dataclass(frozen=True, slots=True)
class Trained:
    """Record of what was trained: method and AUs.

    Attributes:
        method: how it is told AUs.
        action_units: the AUs that it was told in training.
    """

    method: Method
    action_units: ActionUnitSet

    def files(self) -> list[str]:
        """Return the names of its weight files."""
        if self.method == "lora-au":
            return [au_file(name) for name in self.action_units.names]
        return [LORA_FILE] if self.method == "lora-t" else list(_UNET_FILES)

    def text(self) -> str:
        """Return the content of `baseline.json`."""
        about = {"method": self.method, "action_units": list(self.action_units.names)}
        return json.dumps(about, indent=1) + "\n"


def au_file(name: str) -> str:
    """Return the name of the file of an AU's LoRA."""
    return f"{name}.safetensors"


def read_about(folder: Path) -> Trained:
    """Read what a folder says of itself.

    Raises:
        WeightsError: if it says nothing, or what it says cannot be.
    """
    path = folder / ABOUT_FILE
    if not path.is_file():
        raise WeightsError(
            f"{excerpt(folder)} has no {ABOUT_FILE}, so it holds no baseline; `synthgen train "
            f"fineface` with method: {TRAINED_METHODS[0]}, {TRAINED_METHODS[1]} or "
            f"{TRAINED_METHODS[2]} writes one"
        )
    content = read_json(path, "the baseline")
    method, names = content.get("method"), content.get("action_units")
    if method not in TRAINED_METHODS:
        raise WeightsError(
            f"{excerpt(path)}: method is {shown(method)}; it must be one of "
            f"{', '.join(TRAINED_METHODS)}"
        )
    return Trained(method, _action_units(names, path))


def _action_units(names: Any, path: Path) -> ActionUnitSet:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise WeightsError(f"{excerpt(path)}: action_units must be a list of AUs")
    try:
        found = ActionUnitSet.of(names)
    except ActionUnitError as error:
        raise WeightsError(f"{excerpt(path)}: action_units: {error}") from error
    if list(found.names) != names:
        raise WeightsError(
            f"{excerpt(path)}: action_units must be in the order of FACS: {', '.join(found.names)}"
        )
    return found


@dataclass(frozen=True, slots=True)
class BaselineFolders:
    """Folders of this machine that hold the weights of a run.

    Attributes:
        base: the Stable Diffusion base.
        vae: a VAE instead of the base's own; None: the base's own.
        folder: what was trained; None: nothing.
        trained: what it says of itself; None: there is nothing.
        licences: what is used → its licence.
    """

    base: Path
    vae: Path | None
    folder: Path | None
    trained: Trained | None
    licences: Mapping[str, str]

    @property
    def vae_model(self) -> Path:
        """Folder of the VAE that is used."""
        return self.vae or self.base / "vae"

    def used(self) -> Iterator[tuple[str, Path]]:
        """Yield name in records → file, of all that images are a function of."""
        replaced = f"base/{UNET}/" if self.trained and self.trained.method == "dreambooth" else None
        for name, path in base_files(self):
            if replaced is None or not name.startswith(replaced):
                yield name, path
        if self.folder is not None and self.trained is not None:
            for name in (ABOUT_FILE, *self.trained.files()):
                yield f"trained/{name}", self.folder / name

    def checksums(self) -> dict[str, str]:
        """Return the SHA-256 of each file that images are a function of, wherever they lie."""
        return {name: file_sha256(path) for name, path in sorted(self.used())}


def locate(method: Method, weights: Any, *, fetch: bool = True) -> BaselineFolders:
    """Find the weights, and fetch from the Hub what is neither embedded nor a folder here.

    Args:
        method: how the run says that they are told AUs.
        weights: a section `BaselineWeights`.
        fetch: whether to fetch what is not on this machine.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or is of another method.
    """
    folder = trained = None
    licences = dict([base_licence(weights.base)])
    if weights.trained is not None:
        folder, trained = find_trained(method, weights, fetch)
        licences[f"baseline {method}"] = "as the data that it was trained on, and as the base"
    found = BaselineFolders(
        base=base_folder(weights, fetch),
        vae=vae_folder(weights, fetch),
        folder=folder,
        trained=trained,
        licences=licences,
    )
    if weights.sha256:
        check_sha256(weights.sha256, dict(found.used()))
    return found


def find_trained(method: Method, weights: Any, fetch: bool) -> tuple[Path, Trained]:
    """Return the folder of what was trained, and what it says of itself; see `locate`."""
    named = Path(weights.trained).expanduser()
    if named.is_dir():  # whose sentence says more than that a file is missing
        read_about(named)
    folder = _resolved(weights, [ABOUT_FILE], fetch)
    trained = read_about(folder)
    if trained.method != method:
        raise WeightsError(
            f"{excerpt(weights.trained)} was trained by the method {trained.method!r}, and "
            f"pipeline.method is {method!r}; set it to {trained.method!r}, or name another folder "
            f"as {_SETTING}"
        )
    return _resolved(weights, trained.files(), fetch), trained


def _resolved(weights: Any, files: Sequence[str], fetch: bool) -> Path:
    return resolve(
        weights.trained,
        revision=weights.trained_revision,
        files=files,
        setting=_SETTING,
        fetch=fetch,
    )
