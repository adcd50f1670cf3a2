"""Study of the datasets of a protocol: who judges, and what they find of each model."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
from pipelines.evaluation.paper.prompts import PaperPrompt
from pipelines.evaluation.paper.readings import (
    ClipMeter,
    JudgeMeter,
    LandmarkerJudge,
    Order,
    measure,
    measured,
    order_of,
    seen_by,
)
from pipelines.evaluation.paper.runs import PaperEvaluation, PaperRun
from pipelines.evaluation.paper.statistics import Accuracy, Measured, accuracy, mean_of
from pipelines.fineface.section import FineFaceWeights
from pipelines.fineface.weights import locate
from pipelines.libreface import LibreFaceVerifier
from pipelines.loading import fix_arithmetic, pick_device
from synthgen.dataset import Storage, read_record

KINDS = {"singles": "individual AUs", "combined": "combinations"}


@dataclass(frozen=True, slots=True)
class Panel:
    """Judges of an evaluation.

    Attributes:
        judges: who measures AUs, the verifier first.
        embedder: the CLIP of CLIP-I; None: the base has none and none is named.
    """

    judges: Sequence[AUJudge]
    embedder: ImageEmbedder | None

    @property
    def files(self) -> dict[str, str]:
        """Files in use → sha256."""
        found = {f"{judge.name}: {name}": sha256 for judge in self.judges
                 for name, sha256 in judge.weights.items()}  # fmt: skip
        return found | (self.embedder.weights if self.embedder else {})


def seat(settings: PaperEvaluation) -> Panel:
    """Load the judges.

    Raises:
        WeightsError: if weights are missing or of another format.
        MissingDependencyError: if a judge's package is not installed.
    """
    fix_arithmetic(settings.threads)
    device = pick_device()
    verifier = LibreFaceVerifier.from_pretrained(settings.verifier, device=device)
    judges: list[AUJudge] = [VerifierJudge(verifier)]
    if settings.judge is not None:
        judges.append(SecondJudge.from_file(settings.judge))
    if settings.landmarker is not None:
        judges.append(LandmarkerJudge(settings.landmarker))
    if settings.clip is not None:
        return Panel(judges, find_clip(settings.clip, device))
    weights = FineFaceWeights(base=settings.base, fineface=settings.weights)
    return Panel(judges, find_encoder(locate(weights).base, device))


@dataclass(frozen=True, slots=True, eq=False)
class RunFindings:
    """Findings on the dataset of a run.

    Attributes:
        run: the run.
        order: where each image of the protocol stands in it.
        measured: judge → readings.
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
    """Measure a run's dataset by all judges.

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
        for judge in panel.judges
    }
    embeddings = None
    if panel.embedder is not None:
        embeddings = measure(run, ClipMeter(panel.embedder), "CLIP-I", kept)[order.places]
    return RunFindings(run, order, found, embeddings)


@dataclass(frozen=True, slots=True, eq=False)
class PaperResults:
    """All that is told of an evaluation.

    Attributes:
        settings: the evaluation.
        prompts: its prompts.
        panel: the judges.
        plain: the base alone, without AUs.
        rows: the other runs, the model's first.
    """

    settings: PaperEvaluation
    prompts: Sequence[PaperPrompt]
    panel: Panel
    plain: RunFindings
    rows: Sequence[RunFindings]

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
