"""`synthgen evaluate fineface`: judge a FineFace model and write the tables.

Images are kept in a folder as they are painted: an evaluation that was killed goes on when the
command is given again, and ends in the same document.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.evaluation.clip_images import find_encoder
from pipelines.evaluation.documents import write_document
from pipelines.evaluation.findings import Instruments, examine
from pipelines.evaluation.gallery import Gallery
from pipelines.evaluation.judges import SecondJudge, VerifierJudge
from pipelines.evaluation.painting import Candidate, candidate_of, settings_of
from pipelines.evaluation.prompts import AskedPrompt, unseen_prompts
from pipelines.evaluation.protocols import Protocol, neutral_requests
from pipelines.evaluation.report import Results, Variant, document
from pipelines.evaluation.settings import FineFaceEvaluation
from pipelines.evaluation.study import Study, study
from pipelines.evaluation.variants import (
    TrainedAdapter,
    budget_of,
    find_adapters,
    table_2,
    table_3,
)
from pipelines.fineface.source import FineFaceSource
from pipelines.fineface.weights import MINI, locate
from pipelines.libreface import LibreFaceVerifier
from pipelines.loading import fix_arithmetic, pick_device
from pipelines.procedural.source import ProceduralSource
from synthgen.config import FineFaceConfig, ProceduralConfig

_ADAPTER_FILES = "fineface/"


class FineFaceEvaluator:
    """Runs an evaluation.

    Args:
        settings: what is evaluated, and how.
        images: folder in which images are kept.

    Raises:
        WeightsError: if weights are missing or of another format.
        ConfigError: if there are too few prompts.
    """

    def __init__(self, settings: FineFaceEvaluation, images: Path) -> None:
        fix_arithmetic(settings.threads)
        self._settings = settings
        self._device = pick_device()
        self._gallery = Gallery(images, settings.batch_size)
        self._adapters = [] if settings.encoders is None else find_adapters(settings.encoders)
        second = None if settings.judge is None else SecondJudge.from_file(settings.judge)
        verifier = LibreFaceVerifier.from_pretrained(settings.verifier, device=self._device)
        judges: list[Any] = [VerifierJudge(verifier)]
        if second is not None:
            judges.append(second)
        embedder = find_encoder(locate(settings.pipeline().weights).base)
        self._instruments = Instruments(judges, second, embedder)
        self._prompts: tuple[AskedPrompt, ...] = unseen_prompts(
            settings.asked().prompts, settings.seed
        )
        self._files = {
            f"{judge.name}: {name}": sha256
            for judge in judges
            for name, sha256 in judge.weights.items()
        } | (embedder.weights if embedder else {})

    def run(self) -> Results:
        """Paint and measure everything.

        Raises:
            WeightsError: if weights are missing or do not fit.
            OutputError: if an image cannot be written.
        """
        settings, rows = self._settings, self._settings.row_prompts > 0
        main = self._study(self._adapted("FineFace", settings.pipeline()), settings.asked())
        base = self._base()
        plain = examine(
            "without AUs", base, neutral_requests(self._prompts), self._gallery, self._instruments
        )
        worded = self._study(base, settings.asked_of_rows(), told=True) if rows else None
        drawn = self._study(_drawn(), settings.asked()) if settings.base == MINI else None
        found = {one.name: self._variant(one) for one in (self._adapters if rows else [])}
        return Results(
            command=settings.command(),
            files=self._files,
            judges=[judge.name for judge in self._instruments.judges],
            main=main,
            budget=budget_of(locate(settings.pipeline().weights).fineface),
            plain=plain,
            worded=worded,
            drawn=drawn,
            encoders=_rows(table_2(self._adapters), found),
            smoothing=_rows(table_3(self._adapters), found),
        )

    def _study(self, candidate: Candidate, protocol: Protocol, told: bool = False) -> Study:
        return study(
            candidate,
            self._prompts,
            protocol,
            self._settings.seed,
            self._gallery,
            self._instruments,
            told,
        )

    def _adapted(self, name: str, config: FineFaceConfig, prefix: str = "") -> Candidate:
        source = FineFaceSource(config, self._device)
        candidate = candidate_of(name, source, settings_of(config))
        kept = candidate.identity["weights"]
        self._files |= {
            f"{prefix}{file}": sha256
            for file, sha256 in kept.items()
            if not prefix or file.startswith(_ADAPTER_FILES)
        }
        return candidate

    def _base(self) -> Candidate:
        """Return the base alone, whose images no adapter's file has a part in."""
        config = self._settings.pipeline(adapted=False)
        source = FineFaceSource(config, self._device)
        made = candidate_of("AUs in words", source, settings_of(config))
        weights = made.identity["weights"]
        base = {file: sha for file, sha in weights.items() if not file.startswith(_ADAPTER_FILES)}
        return Candidate(made.name, {**made.identity, "weights": base}, made.paint)

    def _variant(self, adapter: TrainedAdapter) -> Study:
        config = self._settings.pipeline(fineface=str(adapter.folder))
        candidate = self._adapted(adapter.name, config, prefix=f"{adapter.name}/")
        return self._study(candidate, self._settings.asked_of_rows())


def evaluate_fineface(settings: FineFaceEvaluation, to: str | Path, images: str | Path) -> Path:
    """Evaluate a model and write the document.

    Args:
        settings: what is evaluated, and how.
        to: Markdown file to write.
        images: folder in which images are kept.

    Returns:
        The document.

    Raises:
        WeightsError: if weights are missing or of another format.
        ConfigError: if there are too few prompts.
        OutputError: if an image or the document cannot be written.
    """
    text = document(FineFaceEvaluator(settings, Path(images)).run())
    path = Path(to)
    write_document(path, text)
    return path


def _drawn() -> Candidate:
    """Return drawn faces, which mini models learned from and show exactly what is asked for."""
    config = ProceduralConfig(name="procedural")
    return candidate_of("drawn faces", ProceduralSource(config), config.model_dump(mode="json"))


def _rows(rows: list[tuple[str, TrainedAdapter]], studies: Mapping[str, Study]) -> list[Variant]:
    return [
        Variant(label, adapter.budget, studies[adapter.name])
        for label, adapter in rows
        if adapter.name in studies
    ]
