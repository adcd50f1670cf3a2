"""The section of check `libreface-package`; loads no torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field

from pipelines.libreface.section import ActionUnitPolicy
from pipelines.libreface.weights import LICENCE, cache_folder
from pipelines.weight_files import count_numbers
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.config.base import Weights
from synthgen.config.verify import CheckKeyError, CheckSection
from synthgen.errors import ActionUnitError, WeightsError

if TYPE_CHECKING:
    from pipelines.libreface.package import PackageCheck
    from synthgen.config.run import RunConfig

_FILES = (
    "AU_Recognition/weights/combined_resnet.pt",
    "Facial_Expression_Recognition/weights/repvgg.pt",
)
"""Weights that the package keeps in its folder."""


class LibreFacePackageCheck(CheckSection):
    """Measuring of AUs and expression by LibreFace's own package, in an environment of its own."""

    name: Literal["libreface-package"]  # pyright: ignore[reportIncompatibleVariableOverride]
    python: str = Field(
        min_length=1,
        description="Interpreter of an environment where libreface 0.2 is installed; not part of "
        "the data's identity, which the versions of its packages are.",
    )
    weights: str | None = Field(
        default=None,
        min_length=1,
        description="Folder in which the package keeps its weights (non-commercial licence; "
        "`synthgen weights fetch` lets it fetch them); null: one in synthgen's cache.",
    )
    device: Literal["cpu", "cuda"] = Field(
        default="cpu", description="Device of its networks, as the environment's torch knows it."
    )
    patience: float = Field(
        default=120.0,
        ge=1,
        le=86_400,
        description="Longest measuring of a batch before its process is replaced [s].",
    )
    policy: ActionUnitPolicy = Field(
        default=ActionUnitPolicy(), description="Bounds an image must keep."
    )

    def load(self, device: str, run: "RunConfig") -> "PackageCheck":
        """Start the process; `device` is the pipeline's, and says nothing of its own."""
        from pipelines.libreface.package import PackageCheck
        from pipelines.libreface.package_process import PackageProcess, find_package

        find_package(self.python)
        process = PackageProcess(
            self.python,
            self._folder(),
            self.device,
            getattr(run.pipeline, "threads", 1),
            self.patience,
        )
        return PackageCheck(process, self.policy, run.expressions.au_set)

    @property
    def action_units(self) -> frozenset[str]:
        """The 12 AUs of its intensity head."""
        return frozenset(DEFAULT_AUS.names)

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse tolerances of AUs that the run does not have."""
        for name in self.policy.per_au_tolerance:
            try:
                run.expressions.au_set.index(name)
            except ActionUnitError as error:
                raise CheckKeyError("policy.per_au_tolerance", str(error)) from error

    def accepts(
        self, requested: np.ndarray, measured: np.ndarray, action_units: ActionUnitSet
    ) -> np.ndarray:
        """Return whether the policy would accept faces of these AUs for these requests."""
        from pipelines.libreface.check import accepted

        return accepted(requested, measured, self.policy, action_units)

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the package and its weights, or let it fetch them."""
        from pipelines.libreface.package_process import PackageProcess, find_package

        find_package(self.python)
        if fetch:
            process = PackageProcess(self.python, self._folder(), self.device)
            process.close()
            return Weights(files=process.weights)
        files = [self._folder() / name for name in _FILES]
        for file in files:
            if not file.is_file():
                raise WeightsError(
                    f"weights {file} of LibreFace's package are missing; `synthgen weights fetch "
                    "CONFIG` lets it fetch them"
                )
        return Weights(
            bytes=4 * sum(map(count_numbers, files)),
            licences={file.name: LICENCE for file in files},
        )

    def with_absolute_paths(self) -> "LibreFacePackageCheck":
        """Return the section with paths that do not depend on the working folder; names stay."""
        paths = {
            key: str(Path(value).expanduser().absolute())
            for key, value in (("python", self.python), ("weights", self.weights))
            if value is not None and (key == "weights" or "/" in value)
        }
        return self.model_copy(update=paths)

    def identity(self) -> dict[str, Any]:
        """Return the keys that the data is a function of: not where things are on this machine."""
        keys = super().identity()
        return {name: keys[name] for name in ("name", "device", "policy")}

    def _folder(self) -> Path:
        # The process has another working folder than who names one.
        return Path(self.weights or cache_folder() / "libreface-package").expanduser().absolute()
