"""The check `libreface-package`: AUs, detections and expression as LibreFace's package gives them.

The package measures pictures that show one face: with two it ends on an error of its own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from PIL.Image import Image

from pipelines.interfaces import Verifier
from pipelines.libreface.check import FACES, au_columns, au_row, judge
from pipelines.libreface.expression_section import CLASSES
from pipelines.libreface.network import DETECTED_AUS
from pipelines.libreface.package_process import Found, PackageProcess
from pipelines.libreface.section import ActionUnitPolicy
from pipelines.libreface.weights import LICENCE
from pipelines.pictures import all_rgb
from pipelines.policy import Verdict
from pipelines.weight_files import file_sha256
from samplers.spec import SampleSpec
from synthgen.action_units import DEFAULT_AUS, ActionUnitSet
from synthgen.dataset.schema import AUS_MEASURED, Feature, vector_feature

DETECTIONS, EXPRESSION = "libreface_detections", "libreface_expression"
"""Columns: 1 for each AU of `DETECTED_AUS` that is there, else 0; the class of the expression."""


class PackageCheck(Verifier):
    """Measures images by LibreFace's package, and judges their AUs by a policy.

    Args:
        process: what measures.
        policy: the bounds.
        aus: the AUs of the run.
    """

    name = "libreface-package"
    by_batch: ClassVar[bool] = False
    plain_reasons: ClassVar[bool] = True

    def __init__(
        self,
        process: PackageProcess,
        policy: ActionUnitPolicy = ActionUnitPolicy(),  # noqa: B008 - immutable
        aus: ActionUnitSet = DEFAULT_AUS,
    ) -> None:
        self._process = process
        self._policy = policy
        self._aus = aus
        self._places = [DEFAULT_AUS.index(name) for name in aus.names]

    @property
    def columns(self) -> Mapping[str, Feature]:
        """Return those of the check `libreface`, and what the package tells besides."""
        return {
            **au_columns(self._aus),
            DETECTIONS: vector_feature(len(DETECTED_AUS)),
            EXPRESSION: {"names": list(CLASSES), "_type": "ClassLabel"},
        }

    def measure(
        self, images: Sequence[Image], specs: Sequence[SampleSpec]
    ) -> list[Mapping[str, Any]]:
        """Measure images; nothing is known of those that do not show one face."""
        found = self._process.measure(all_rgb(images))
        return [self._row(spec, one) for spec, one in zip(specs, found, strict=True)]

    def verdict(self, spec: SampleSpec, measured: Mapping[str, Any]) -> Verdict:
        """Judge one image; see `check.judge`."""
        if measured[FACES] > 1:
            return Verdict.reject(
                "several_faces", "LibreFace's package measures no picture of several faces"
            )
        found = measured[AUS_MEASURED] or ()
        return judge(spec.aus, found, measured[FACES], self._policy, self._aus)

    def fingerprint(self) -> dict[str, Any]:
        """Return what the measurements are a function of: the versions of the other environment."""
        files = self._process.weights
        return {
            "weights": {file.name: file_sha256(file) for file in files},
            "licences": {file.name: LICENCE for file in files},
            "versions": {f"libreface-package: {k}": v for k, v in self._process.versions.items()},
        }

    def _row(self, spec: SampleSpec, found: Found) -> Mapping[str, Any]:
        if found.expression is None:
            return {**dict.fromkeys(self.columns), FACES: found.faces}
        aus = tuple(found.intensities[place] for place in self._places)
        return {
            **au_row(spec, aus, 1),
            DETECTIONS: tuple(map(float, found.detections)),
            EXPRESSION: CLASSES.index(found.expression),
        }
