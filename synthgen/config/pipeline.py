"""Section `pipeline`: what turns a spec into an image. Each pipeline has one, beside its code."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from synthgen.action_units import AUS
from synthgen.config.base import Component, Figure, Section, Weights
from synthgen.config.components import ComponentKind
from synthgen.errors import ConfigError

PIPELINES = ComponentKind(
    "pipeline",
    "name",
    "synthgen.pipelines",
    "synthgen.config.pipeline:PipelineSection",
    {
        "procedural": "pipelines.procedural.section:ProceduralConfig",
        "fineface": "pipelines.fineface.section:FineFaceConfig",
        "fineface-faceid": "pipelines.fineface.section:FaceIdConfig",
        "fineface-baseline": "pipelines.baselines.section:BaselineConfig",
        "arc2face": "pipelines.arc2face.section:Arc2FaceConfig",
    },
)
"""The pipelines that `pipeline.name` may name."""

_ENCODED = 1700
"""Bytes of an encoded image besides its pixels, at most; 700 of them are its mark."""

DigitalSource = Literal[
    "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia", "algorithmicMedia"
]
"""Terms of http://cv.iptc.org/newscodes/digitalsourcetype/ for images of pipelines: made by a
trained model; a picture that a trained model edited; made by rules that learned from no data."""


class BatchKeys(Section):
    """The keys that every pipeline has, but for its name."""

    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        default=16,
        description="Images made at once; part of the identity of the data. 'auto': the first "
        "worker of a new run tries sizes, and the one that it takes is stored.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="CPU threads of a worker; CPU kernels change bits with it.",
    )


class PipelineSection(Component, BatchKeys, ABC):
    """The section of a pipeline, which makes it.

    What a preflight asks is answered without torch, from the section and from `Weights`: those that
    were found on the machine that is meant, or none.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"aus"})

    name: str = Field(description="Which pipeline it is.")

    @abstractmethod
    def load(self, device: str) -> Any:
        """Load it: a `pipelines.interfaces.ImageSource`.

        Args:
            device: torch device, such as `cpu` or `cuda`.

        Raises:
            WeightsError: if weights are missing or of the wrong format.
        """

    def check_spec(self, spec: Any) -> None:
        """Refuse a spec of a run by what lies on this machine; loads no weights, fetches nothing.

        What is loaded refuses it too; this tells of it earlier.

        Args:
            spec: a `samplers.spec.SampleSpec`; those of a run are of one kind.

        Raises:
            SynthgenError: if it cannot be shown.
        """

    @property
    def uses_gpu(self) -> bool:
        """True where a worker takes a GPU if there is one."""
        return True

    @property
    def action_units(self) -> frozenset[str] | None:
        """The AUs that it can show; None: any."""
        return frozenset(AUS)

    @property
    def drawn_edition(self) -> int | None:
        """Edition of the drawings that its images are; None where it draws none."""
        return None

    @property
    def noiseless(self) -> bool:
        """True where an image follows from its spec alone, whatever its seed."""
        return False

    @property
    def warms_up(self) -> bool:
        """True where a worker makes an image, which is thrown away, before it counts as loaded."""
        return False

    @property
    def number_format(self) -> str:
        """The number format of its computation, where `pipeline.dtype` says it; else empty."""
        return ""

    @property
    def fixed_batch_size(self) -> int:
        """`batch_size` as a number.

        Raises:
            ConfigError: if it is still 'auto'.
        """
        if self.batch_size == "auto":
            raise ConfigError(
                "pipeline.batch_size is 'auto' and no worker has tried sizes; set it to a number"
            )
        return self.batch_size

    def image_size(self, weights: Weights) -> tuple[int, int] | None:
        """Return height and width of the images [pixels]; None where they are not known."""
        return None

    def working_memory(self, weights: Weights) -> int:
        """Return what each image of a batch takes while it is made, besides the weights [bytes]."""
        return 0

    def known_rate(self, weights: Weights, gpus: Sequence[str]) -> Figure | None:
        """Return a worker's images a second as somebody measured them, or None.

        Args:
            weights: what was found.
            gpus: names of a node's GPUs; none: it computes on the CPU.
        """
        return None

    def published_gpus(self) -> tuple[str, ...]:
        """Return the GPUs that `known_rate` has a published figure for, as it is configured."""
        return ()

    def digital_source(self, conditions: Collection[str]) -> DigitalSource:
        """Return the term of IPTC's vocabulary that an image is marked with.

        Args:
            conditions: names of those that its spec has.
        """
        if "reference" in self.used() and "reference" in conditions:
            return "compositeWithTrainedAlgorithmicMedia"
        return "trainedAlgorithmicMedia"

    def known_bytes(self, weights: Weights, image_format: str) -> Figure | None:
        """Return what a sample takes on disk [bytes], or None where that is not known.

        Args:
            weights: what was found.
            image_format: `output.image_format`.
        """
        if (size := self.image_size(weights)) is None:
            return None
        bound = size[0] * size[1] * 3 + _ENCODED
        return Figure(bound, "bound: an image as large as its pixels", bound=True)
