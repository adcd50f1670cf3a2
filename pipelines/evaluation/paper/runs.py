"""Runs of the paper's protocol: each is a configuration, generated like any other.

A run asks each prompt for its neutral face, for 12 AUs at 5 intensities, one at a time, and for 50
combinations: the prior `grid` and one identity for each prompt. All images of a prompt start from
its noise, in every run. No check looks at the images: none is chosen by whom it is judged by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from pipelines.evaluation.fineface import (
    METHODS,
    TrainedAdapter,
    find_adapters,
    find_methods,
    table_2,
    table_3,
)
from pipelines.evaluation.gallery import GenerationSettings
from pipelines.evaluation.paper.prompts import HANDCRAFTED, PaperPrompt, read_prompts
from pipelines.fineface.weights import MINI
from pipelines.loading import check_components
from samplers.plan import build_plan
from samplers.priors.grid import FINEFACE_COMBINATIONS, LEVELS
from synthgen.action_units import AU_COUNT
from synthgen.config import RunConfig
from synthgen.config.loading import parse_config
from synthgen.config.yaml_text import read_yaml_file
from synthgen.errors import ConfigError
from synthgen.foreign import excerpt

MODEL, PLAIN, DRAWN = "FineFace", "without AUs", "drawn faces"

MOST_SCALES = 20


@dataclass(frozen=True, slots=True)
class Baseline:
    """Another model under the same protocol.

    Attributes:
        name: what the tables call it.
        file: YAML file that holds a section `pipeline` alone.
    """

    name: str
    file: Path


class PaperEvaluation(GenerationSettings):
    """An evaluation by the paper's protocol; its figures are a function of this and of files."""

    weights: str = Field(description="FineFace files: 'mini', a folder, or a Hub id.")
    base: str = Field(default=MINI, description="Stable Diffusion base: likewise.")
    verifier: str = Field(
        default=MINI, description="AU network that judges: 'mini', 'libreface', or a file."
    )
    judge: Path | None = Field(default=None, description="File of `synthgen train judge`.")
    landmarker: Path | None = Field(
        default=None, description="face_landmarker.task of Google's FaceLandmarker: one more judge."
    )
    prompts: str = Field(
        default=HANDCRAFTED,
        description="'handcrafted', a file of prompts, or a folder of Parquet files with captions.",
    )
    combinations: int = Field(
        default=FINEFACE_COMBINATIONS, ge=1, le=1000, description="Combinations of AUs a prompt."
    )
    levels: tuple[float, ...] = Field(
        default=tuple(LEVELS), min_length=1, description="Intensities of the AUs one at a time."
    )
    lora_scales: tuple[float, ...] = Field(
        default=(1.0,),
        min_length=1,
        max_length=MOST_SCALES,
        description="Scales of the LoRA; the tables are about the first.",
    )
    encoders: Path | None = Field(
        default=None, description="Folder of adapters that `synthgen train fineface` made."
    )
    methods: Path | None = Field(
        default=None,
        description="Folder of baselines that `synthgen train fineface` made by other methods: "
        "rows of Table 1, and with them the base that is told AUs in words.",
    )
    baselines: tuple[Baseline, ...] = Field(default=(), description="Other models.")
    reference: Path | None = Field(
        default=None, description="Folder of pictures that KID and FID compare with."
    )
    inception: Path | None = Field(
        default=None,
        description="torch-fidelity's InceptionV3; null: it fetches its own, where reference asks.",
    )
    clip: str | None = Field(
        default=None, description="CLIP of CLIP-I: a folder or a Hub id; null: the base's own."
    )

    def command(self) -> str:
        """Return the command that finds the figures again, without where things are written."""
        plain = self.model_copy(update={"lora_scales": (1.0,), "baselines": ()})
        words = [plain.written("synthgen evaluate fineface --protocol paper")]
        if self.lora_scales != (1.0,):
            words += [f"--lora-scale {scale:g}" for scale in self.lora_scales]
        words += [f'--baseline "{one.name}={one.file.name}"' for one in self.baselines]
        return " ".join(words)

    @property
    def drawn(self) -> bool:
        """True where models of drawn faces are asked."""
        return self.base == MINI

    def asked(self) -> tuple[PaperPrompt, ...]:
        """Return the prompts, in their order.

        Raises:
            ConfigError: as `read_prompts`.
        """
        return read_prompts(self.prompts, self.drawn, self.seed)


@dataclass(frozen=True, slots=True)
class PaperRun:
    """A run of the protocol.

    Attributes:
        key: name of its folder.
        label: what tables call it.
        config: its configuration.
        table: number of the paper's table that it is a row of; 0: it is the base without AUs.
        scale: scale of the LoRA, of the model itself; None of other runs.
    """

    key: str
    label: str
    config: RunConfig
    table: int
    scale: float | None = None


def find_runs(
    settings: PaperEvaluation, prompts: Sequence[PaperPrompt], folder: Path
) -> list[PaperRun]:
    """Return the runs of an evaluation, looked through before any begins.

    Args:
        settings: the evaluation.
        prompts: its prompts.
        folder: where the datasets go, a folder each.

    Raises:
        ConfigError: if something cannot be asked for, or two runs have one name.
        WeightsError: if an adapter's folder holds none.
    """
    runs = list(_runs(settings, _Asked(settings, prompts, folder)))
    known: dict[str, RunConfig] = {}
    for run in runs:
        if known.setdefault(run.key, run.config) != run.config:
            raise ConfigError(
                f"two models of the evaluation would be kept as {run.key!r}; rename one of them"
            )
    for config in known.values():
        check_components(config)
        build_plan(config)
    return runs


@dataclass(frozen=True, slots=True)
class _Asked:
    """Settings, prompts and folder that the runs have in common."""

    settings: PaperEvaluation
    prompts: Sequence[PaperPrompt]
    folder: Path

    def config(self, key: str, pipeline: Mapping[str, Any], neutral: bool = False) -> RunConfig:
        """Return the configuration of a run; `neutral`: of the neutral faces alone."""
        settings, each = self.settings, 1 + self.images
        grid = {
            "prior": "grid",
            "levels": list(settings.levels),
            "combinations": settings.combinations,
        }
        nothing = {"prior": "combinations", "combinations": [{"aus": {}}]}
        return parse_config(
            {
                "name": f"fineface-paper-{key}",
                "seed": settings.seed,
                "samples": len(self.prompts) * (1 if neutral else each),
                "output": {
                    "path": (self.folder / key).as_posix(),
                    "shard_size": 1 if neutral else each,
                    "splits": {"test": 1.0},
                },
                "expressions": nothing if neutral else grid,
                "identities": {
                    "source": "prompts",
                    "template": "{prompt}",
                    "slots": {"prompt": [one.text for one in self.prompts]},
                    "expressions_per_identity": 1 if neutral else self.images,
                    "neutral_image": not neutral,
                    "noise": "identity",
                },
                "pipeline": dict(pipeline),
                "verify": {"verifier": "none"},
            },
            f"run {key!r} of the evaluation",
        )

    @property
    def images(self) -> int:
        """Images with AUs of a prompt."""
        return AU_COUNT * len(self.settings.levels) + self.settings.combinations

    def fineface(self, weights: str, scale: float, au_scale: float) -> dict[str, Any]:
        settings = self.settings
        return {
            "name": "fineface",
            "weights": {"base": settings.base, "fineface": weights, "lora_scale": scale},
            "au_scale": au_scale,
            **settings.sampling(settings.base),
        }

    def baseline(self, method: str, folder: Path | None) -> dict[str, Any]:
        """Return the pipeline of a baseline, which samples as the model does."""
        settings = self.settings
        trained = None if folder is None else str(folder)
        sampling = settings.sampling(settings.base)
        if settings.text_guidance is not None:  # text is all that guides a baseline
            sampling["guidance_scale"] = sampling.pop("text_guidance_scale")
        return {
            "name": "fineface-baseline",
            "method": method,
            "weights": {"base": settings.base, "trained": trained},
            **sampling,
        }


def _runs(settings: PaperEvaluation, asked: _Asked) -> Iterator[PaperRun]:
    for scale in dict.fromkeys(settings.lora_scales):
        key = f"fineface-lora-{scale:g}"
        pipeline = asked.fineface(settings.weights, scale, settings.au_scale)
        yield PaperRun(key, MODEL, asked.config(key, pipeline), 1, scale)
    plain = asked.fineface(settings.weights, 0.0, 0.0)
    yield PaperRun("plain", PLAIN, asked.config("plain", plain, neutral=True), 0)
    for baseline in settings.baselines:
        key = f"baseline-{_folder_name(baseline.name)}"
        yield PaperRun(key, baseline.name, asked.config(key, _section_of(baseline)), 1)
    if settings.methods is not None:
        told = asked.baseline("words", None)
        yield PaperRun("method-words", METHODS["words"], asked.config("method-words", told), 1)
        for one in find_methods(settings.methods):
            key = f"method-{_folder_name(one.name)}"
            pipeline = asked.baseline(one.method, one.folder)
            label = f"{METHODS[one.method]}; {one.budget}"
            yield PaperRun(key, label, asked.config(key, pipeline), 1)
    if settings.drawn:
        yield PaperRun("drawn", DRAWN, asked.config("drawn", {"name": "procedural"}), 1)
    adapters = [] if settings.encoders is None else find_adapters(settings.encoders)
    for table, rows in ((2, table_2(adapters)), (3, table_3(adapters))):
        for label, adapter in rows:
            yield _adapted(asked, table, label, adapter)


def _adapted(asked: _Asked, table: int, label: str, adapter: TrainedAdapter) -> PaperRun:
    """Return the run of an adapter; its dataset is one for both tables."""
    key = f"adapter-{_folder_name(adapter.name)}"
    scale, au_scale = asked.settings.lora_scales[0], asked.settings.au_scale
    pipeline = asked.fineface(str(adapter.folder), scale, au_scale)
    said = f"{label}; {adapter.budget}"
    return PaperRun(key, said, asked.config(key, pipeline), table)


def _section_of(baseline: Baseline) -> Mapping[str, Any]:
    found = read_yaml_file(baseline.file, f"the pipeline of {baseline.name}").data
    if not isinstance(found, dict) or "name" not in found:
        raise ConfigError(
            f"{excerpt(baseline.file)} must hold a section pipeline alone, with its name, such as "
            "name: fineface"
        )
    return found


def _folder_name(name: str) -> str:
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower()).strip("-")
    return kept[:48] or "model"
