"""Study of the datasets of a protocol: who judges, and what they find of each model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from pipelines.evaluation.judges import (
    AUJudge,
    ImageEmbedder,
    SecondJudge,
    VerifierJudge,
    find_clip,
    find_encoder,
)
from pipelines.evaluation.outside_statistics import Estimate
from pipelines.evaluation.paper.fidelity import Fidelity, FidelityMeter, generated
from pipelines.evaluation.paper.prompts import PaperPrompt
from pipelines.evaluation.paper.readings import (
    ClipMeter,
    JudgeMeter,
    LandmarkerJudge,
    Order,
    measure,
    measured,
    order_of,
    rows_by_file,
    seen_by,
)
from pipelines.evaluation.paper.runs import PaperEvaluation, PaperRun
from pipelines.evaluation.paper.statistics import Accuracy, Measured, accuracy, mean_of
from pipelines.fineface.section import FineFaceWeights
from pipelines.fineface.weights import locate
from pipelines.libreface import LibreFaceVerifier
from pipelines.loading import fix_arithmetic, pick_device
from synthgen.dataset import Storage, read_record
from synthgen.errors import ConfigError

KINDS = {"singles": "individual AUs", "combined": "combinations"}


@dataclass(frozen=True, slots=True)
class Panel:
    """Judges of an evaluation.

    Attributes:
        judges: who measures AUs, the verifier first.
        embedder: the CLIP of CLIP-I; None: the base has none and none is named.
        fidelity: what compares images with pictures; None: no pictures are named.
    """

    judges: Sequence[AUJudge]
    embedder: ImageEmbedder | None
    fidelity: FidelityMeter | None = None

    @property
    def files(self) -> dict[str, str]:
        """Files in use → sha256."""
        found = {f"{judge.name}: {name}": sha256 for judge in self.judges
                 for name, sha256 in judge.weights.items()}  # fmt: skip
        return found | (self.embedder.weights if self.embedder else {})


def seat(settings: PaperEvaluation) -> Panel:
    """Load the judges.

    Raises:
        ConfigError: if there are too few pictures to compare with, or an option lacks another.
        WeightsError: if weights are missing or of another format.
        MissingDependencyError: if a judge's package is not installed.
    """
    if settings.inception is not None and settings.reference is None:
        raise ConfigError(
            f"--inception {settings.inception} is for KID and FID, which need pictures to compare "
            "with: name their folder by --reference"
        )
    fix_arithmetic(settings.threads)
    device = pick_device()
    fidelity = None
    if settings.reference is not None:
        fidelity = FidelityMeter(settings.reference, settings.inception, device)
    verifier = LibreFaceVerifier.from_pretrained(settings.verifier, device=device)
    judges: list[AUJudge] = [VerifierJudge(verifier)]
    if settings.judge is not None:
        judges.append(SecondJudge.from_file(settings.judge))
    if settings.landmarker is not None:
        judges.append(LandmarkerJudge(settings.landmarker))
    if settings.clip is not None:
        return Panel(judges, find_clip(settings.clip, device), fidelity)
    weights = FineFaceWeights(base=settings.base, fineface=settings.weights)
    return Panel(judges, find_encoder(locate(weights).base, device), fidelity)


@dataclass(frozen=True, slots=True, eq=False)
class RunFindings:
    """Findings on the dataset of a run.

    Attributes:
        run: the run.
        order: where each image of the protocol stands in it.
        measured: judge → readings; of neutral faces alone, none.
        embeddings: unit vectors [P, 1 + C, width], the neutral faces first; None without a CLIP.
    """

    run: PaperRun
    order: Order
    measured: Mapping[str, Measured]
    embeddings: Float[np.ndarray, "P C1 w"] | None

    @property
    def images(self) -> int:
        """Images with AUs."""
        return self.order.places[:, 1:].size

    def accuracy(self, kind: str, judge: str, seed: int, neutral: bool = False) -> Accuracy:
        """Return how far AUs are off; see `statistics.accuracy`."""
        return accuracy(self.measured[judge], kind, seed, neutral)

    def likeness(self, kind: str, reference: "RunFindings", seed: int) -> Estimate:
        """Return CLIP-I: the mean cosine to the reference's neutral face of the same prompt."""
        if self.embeddings is None or reference.embeddings is None:
            return Estimate(float("nan"), float("nan"), float("nan"))
        images = self.embeddings[:, 1:].astype(np.float64)
        cosines = (images * reference.embeddings[:, :1]).sum(-1)  # [P, C]
        combined = next(iter(self.measured.values())).combined.shape[1]
        cut = cosines.shape[1] - combined
        return mean_of(cosines[:, :cut] if kind == "singles" else cosines[:, cut:], seed)


Say = Callable[[str], None]


def look_at(
    run: PaperRun,
    settings: PaperEvaluation,
    prompts: Sequence[PaperPrompt],
    panel: Panel,
    kept: Path,
) -> RunFindings:
    """Measure a run's dataset by all judges; neutral faces alone by CLIP alone.

    Args:
        run: the run, whose dataset is whole.
        settings: the evaluation.
        prompts: its prompts.
        panel: the judges.
        kept: folder of the measurements.

    Raises:
        DatasetError: if images are missing, or cannot be read.
        OutputError: if a file cannot be written.
    """
    order = order_of(run, prompts)
    found = {
        judge.name: measured(
            measure(run, JudgeMeter(judge), judge.name, kept),
            order,
            settings.levels,
            seen_by(judge),
        )
        for judge in (panel.judges if order.asked.size else ())
    }
    embeddings = None
    if panel.embedder is not None:
        embeddings = measure(run, ClipMeter(panel.embedder), "CLIP-I", kept)[order.places]
    return RunFindings(run, order, found, embeddings)


def compare(found: RunFindings, meter: FidelityMeter, seed: int) -> Fidelity:
    """Compare a run's images with AUs with the pictures of a meter.

    Raises:
        ConfigError, DatasetError: as `FidelityMeter.compare`.
    """
    rows = rows_by_file(found.run)
    places = [rows[row] for row in found.order.places[:, 1:].ravel()]
    return meter.compare(generated(Path(found.run.config.output.path), places), seed)


@dataclass(frozen=True, slots=True, eq=False)
class PaperResults:
    """All that is told of an evaluation.

    Attributes:
        settings: the evaluation.
        prompts: its prompts.
        panel: the judges.
        plain: the base alone, without AUs.
        rows: the other runs, the model's first.
        fidelity: key of a run → distance of its images to pictures; empty: none were named.
    """

    settings: PaperEvaluation
    prompts: Sequence[PaperPrompt]
    panel: Panel
    plain: RunFindings
    rows: Sequence[RunFindings]
    fidelity: Mapping[str, Fidelity] = field(default_factory=dict)

    @property
    def main(self) -> RunFindings:
        """The model at the first scale of its LoRA."""
        return self.rows[0]

    @property
    def scales(self) -> list[RunFindings]:
        """The model at each scale of its LoRA."""
        return [row for row in self.rows if row.run.scale is not None]

    def of_table(self, number: int) -> list[RunFindings]:
        """Return the rows of one of the paper's tables; of the first, the model and others."""
        return [row for row in self.rows if row.run.table == number
                and (row is self.main or row.run.scale is None)]  # fmt: skip

    def files(self) -> dict[str, str]:
        """Return the judges' files and those of the model → sha256."""
        record = read_record(Storage(self.main.run.config.output.path))
        return self.panel.files | dict(record.identity["weights"])
