"""FineFace evaluation: its settings, the variants that are compared, and the study of each.

Images are kept in a folder as they are generated: an evaluation that was killed goes on when the
command is given again, and ends in the same document.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines.baselines.weights import ABOUT_FILE, read_about
from pipelines.evaluation.fineface_report import Results, Variant, document
from pipelines.evaluation.gallery import (
    Candidate,
    Gallery,
    GenerationSettings,
    candidate_of,
    settings_of,
    write_document,
)
from pipelines.evaluation.judges import SecondJudge, VerifierJudge, find_encoder
from pipelines.evaluation.protocols import (
    AskedPrompt,
    Protocol,
    neutral_requests,
    unseen_prompts,
)
from pipelines.evaluation.study import Instruments, Study, examine, study
from pipelines.fineface.section import FineFaceConfig, FineFaceWeights
from pipelines.fineface.source import FineFaceSource
from pipelines.fineface.weights import MINI, adapter_aus, locate
from pipelines.libreface import LibreFaceVerifier
from pipelines.loading import fix_arithmetic, pick_device
from pipelines.procedural.drawn_aus import edition_of
from pipelines.procedural.section import ProceduralConfig
from pipelines.procedural.source import ProceduralSource
from synthgen.action_units import ActionUnitSet
from synthgen.errors import WeightsError


class FineFaceEvaluation(GenerationSettings):
    """An evaluation; its document is a function of this and of the files that it names."""

    weights: str = Field(description="FineFace files: 'mini', a folder, or a Hub id.")
    base: str = Field(default="mini", description="Stable Diffusion base: likewise.")
    verifier: str = Field(
        default="mini", description="AU network that judges: 'mini', 'libreface', or a file."
    )
    judge: Path | None = Field(
        default=None, description="Second judge, a file of `synthgen train judge`; it reads traits."
    )
    prompts: int = Field(default=40, ge=2, le=150, description="Prompts of the model itself.")
    combinations: int = Field(default=10, ge=1, le=1000, description="Combinations a prompt.")
    row_prompts: int = Field(
        default=8,
        ge=0,
        le=150,
        description="Prompts of the text baseline and of each trained encoder; 0: leave them out.",
    )
    encoders: Path | None = Field(
        default=None,
        description="Folder of adapters that `synthgen train fineface` made, a folder each.",
    )

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs that are asked for: those that the model's files encode."""
        weights = FineFaceWeights(base=self.base, fineface=self.weights)
        return adapter_aus(weights, fetch=True)

    def asked(self) -> Protocol:
        """Return what is asked of the model itself."""
        return Protocol(
            prompts=self.prompts, combinations=self.combinations, action_units=self.action_units
        )

    def asked_of_rows(self) -> Protocol:
        """Return what is asked of the text baseline and of each trained encoder."""
        return replace(self.asked(), prompts=min(self.row_prompts, self.prompts))

    def pipeline(self, fineface: str | None = None, adapted: bool = True) -> FineFaceConfig:
        """Return the configuration of the model.

        Args:
            fineface: other FineFace files than `weights`.
            adapted: False: the base alone, without LoRA and AU branch.
        """
        return FineFaceConfig(
            name="fineface",
            weights=FineFaceWeights(
                base=self.base,
                fineface=self.weights if fineface is None else fineface,
                lora_scale=1.0 if adapted else 0.0,
            ),
            au_scale=self.au_scale if adapted else 0.0,
            **self.sampling(self.base),
        )

    def command(self) -> str:
        """Return the command that makes the document again, without where things are written."""
        return self.written("synthgen evaluate fineface")


ENCODERS = {
    "res_mlp64": "Res + MLP, 64 wide (ours)",
    "none": "none",
    "mlp": "MLP",
    "res_mlp": "Res + MLP",
    "res_3mlp": "Res + 3 MLP",
    "individual_mlp": "an MLP for each AU",
}
"""AU encoder → its row in Table 2, in the order of the rows."""

_CARD = "card.json"
_PUBLISHED = "fineface"
_DEFAULT = "res_mlp64"
_NOT_A_CARD = (ValueError, KeyError, TypeError)


@dataclass(frozen=True, slots=True)
class TrainedAdapter:
    """An adapter that was trained for a table.

    Attributes:
        name: name of its folder.
        folder: holds its files as published.
        encoder: its AU encoder.
        smoothed: whether its labels were perturbed.
        budget: what it was trained with, in words.
    """

    name: str
    folder: Path
    encoder: str
    smoothed: bool
    budget: str


def find_adapters(folder: Path) -> list[TrainedAdapter]:
    """Return the adapters in the folders of a folder; folders without FineFace files are passed by.

    Raises:
        WeightsError: if there is no such folder, none holds an adapter, or a card does not say what
            the tables need.
    """
    if not folder.is_dir():
        raise WeightsError(f"folder of encoders {folder} does not exist")
    found = [_adapter(path) for path in sorted(folder.iterdir()) if _published(path) is not None]
    if not found:
        raise WeightsError(
            f"{folder} holds no adapter; each of its folders must be one that `synthgen train "
            "fineface` wrote"
        )
    return found


def table_2(adapters: list[TrainedAdapter]) -> list[tuple[str, TrainedAdapter]]:
    """Return the rows of Table 2: AU encoders, each trained with perturbed labels."""
    return [
        (label, adapter)
        for encoder, label in ENCODERS.items()
        for adapter in adapters
        if adapter.smoothed and adapter.encoder == encoder
    ]


def table_3(adapters: list[TrainedAdapter]) -> list[tuple[str, TrainedAdapter]]:
    """Return the rows of Table 3: with and without perturbed labels; none where one is missing."""
    own = [adapter for adapter in adapters if adapter.encoder == _DEFAULT]
    rows = [("labels perturbed" if one.smoothed else "labels as they are", one) for one in own]
    rows.sort(key=lambda row: not row[1].smoothed)
    return rows if len({adapter.smoothed for adapter in own}) == 2 else []


METHODS = {
    "words": "AUs in words",
    "dreambooth": "DreamBooth",
    "lora-t": "LoRA-T",
    "lora-au": "LoRA-AU",
}
"""Method of a baseline → its row in Table 1, in the order of the rows."""


@dataclass(frozen=True, slots=True)
class TrainedMethod:
    """A baseline that was trained for a table.

    Attributes:
        name: name of its folder.
        folder: holds its files.
        method: how it is told AUs.
        budget: what it was trained with, in words.
    """

    name: str
    folder: Path
    method: str
    budget: str


def find_methods(folder: Path) -> list[TrainedMethod]:
    """Return the baselines in the folders of a folder, in the order of the tables.

    Others than trainings of baselines are passed by.

    Raises:
        WeightsError: if there is no such folder, none holds a baseline, or one does not say how
            long it was trained.
    """
    if not folder.is_dir():
        raise WeightsError(f"folder of baselines {folder} does not exist")
    places = [
        (path.name, inner)
        for path in sorted(folder.iterdir())
        for inner in (path, *(path / method for method in METHODS))
        if (inner / ABOUT_FILE).is_file()
    ]
    found = [_method(name, place) for name, place in places]
    if not found:
        raise WeightsError(
            f"{folder} holds no baseline; each of its folders must be one that `synthgen train "
            "fineface` wrote, with method: dreambooth, lora-t or lora-au, to its end"
        )
    order = list(METHODS)
    return sorted(found, key=lambda one: (order.index(one.method), one.name))


def _method(name: str, folder: Path) -> TrainedMethod:
    budget = budget_of(folder)
    if budget is None:
        raise WeightsError(
            f"{folder / _CARD} does not say how long the baseline was trained; `synthgen train "
            "fineface` writes it"
        )
    return TrainedMethod(name, folder, read_about(folder).method, budget)


def budget_of(folder: Path) -> str | None:
    """Return what an adapter was trained with, in words; None where its card does not say."""
    try:
        return _budget(json.loads((folder / _CARD).read_text(encoding="utf-8")))
    except (OSError, *_NOT_A_CARD):
        return None


def _published(path: Path) -> Path | None:
    for folder in (path / _PUBLISHED, path):
        if any((folder / f"au_encoder{suffix}").is_file() for suffix in (".safetensors", ".ckpt")):
            return folder
    return None


def _adapter(path: Path) -> TrainedAdapter:
    folder = _published(path) or path
    card = folder / _CARD
    try:
        content: dict[str, Any] = json.loads(card.read_text(encoding="utf-8"))
        made = content["configuration"]
        smoothing = made["smoothing"]
        return TrainedAdapter(
            name=path.name,
            folder=folder,
            encoder=made["encoder"],
            smoothed=bool(smoothing["variance"] or smoothing["rounding"]),
            budget=_budget(content),
        )
    except (OSError, *_NOT_A_CARD) as error:
        raise WeightsError(
            f"{card} does not say which encoder was trained, on which labels, and how long; "
            "`synthgen train fineface` writes it"
        ) from error


def _budget(card: dict[str, Any]) -> str:
    return f"{card['steps']:,} steps of {card['configuration']['batch_size']} examples"


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
        aus = settings.action_units
        judge = settings.judge
        second = None if judge is None else SecondJudge.from_file(judge, aus)
        verifier = LibreFaceVerifier.from_pretrained(settings.verifier, device=self._device)
        judges: list[Any] = [VerifierJudge(verifier, aus)]
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
        """Generate and measure everything.

        Raises:
            WeightsError: if weights are missing or do not fit.
            OutputError: if an image cannot be written.
        """
        settings, rows = self._settings, self._settings.row_prompts > 0
        main = self._study(self._adapted("FineFace", settings.pipeline()), settings.asked())
        base = self._base()
        plain = examine(
            "without AUs",
            base,
            neutral_requests(self._prompts, settings.action_units),
            self._gallery,
            self._instruments,
        )
        worded = self._study(base, settings.asked_of_rows(), told=True) if rows else None
        drawn = (
            self._study(_drawn(settings.action_units), settings.asked())
            if settings.base == MINI
            else None
        )
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
        return Candidate(made.name, {**made.identity, "weights": base}, made.generate)

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


def _drawn(aus: ActionUnitSet) -> Candidate:
    """Return drawn faces, which mini models learned from and show exactly what is asked for."""
    config = ProceduralConfig(name="procedural", edition=edition_of(aus))
    return candidate_of("drawn faces", ProceduralSource(config), config.model_dump(mode="json"))


def _rows(rows: list[tuple[str, TrainedAdapter]], studies: Mapping[str, Study]) -> list[Variant]:
    return [
        Variant(label, adapter.budget, studies[adapter.name])
        for label, adapter in rows
        if adapter.name in studies
    ]
