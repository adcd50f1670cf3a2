"""Options of `synthgen evaluate fineface`, which has two protocols: told apart, and refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cluster.paper import PaperPlaces, evaluate_paper
from pipelines.evaluation.fineface import FineFaceEvaluation, evaluate_fineface
from pipelines.evaluation.paper.runs import Baseline, PaperEvaluation
from synthgen.errors import ConfigError
from synthgen.foreign import shown

_IMAGES, _DATASETS = Path("out/evaluate/images"), Path("out/evaluate/paper")
_FEWEST, _MOST = 2, 150


@dataclass(frozen=True, slots=True)
class FineFaceOptions:
    """Options as they were given; None where one was not.

    Attributes:
        protocol: `small` or `paper`.
        model: those of both protocols, by the names of the settings.
        prompts: how many, or which.
        combinations: how many for each prompt.
        small: those of the small protocol alone.
        paper: those of the paper's alone.
    """

    protocol: Literal["small", "paper"]
    model: Mapping[str, Any]
    prompts: str | None
    combinations: int | None
    small: Mapping[str, Any]
    paper: Mapping[str, Any]


def judge_fineface(
    options: FineFaceOptions, to: Path, say: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Judge a FineFace model by the protocol that is asked for.

    Args:
        options: what was asked for.
        to: the page to write.
        say: takes a line for each step.

    Returns:
        The files that were written.

    Raises:
        ConfigError: if an option belongs to the other protocol, or a value is not allowed.
        SynthgenError: as `evaluate_fineface` and `evaluate_paper`.
    """
    other = options.paper if options.protocol == "small" else options.small
    named = "paper" if options.protocol == "small" else "small"
    for name, value in other.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} belongs to --protocol {named}, and this is --protocol "
                f"{options.protocol}; leave one of them out"
            )
    if options.protocol == "small":
        return [evaluate_fineface(_small(options), to, options.small["images"] or _IMAGES)]
    places = PaperPlaces(to, options.paper["datasets"] or _DATASETS)
    executor = options.paper["executor"] or "ray"
    return evaluate_paper(_paper(options), places, executor, say)


def _small(options: FineFaceOptions) -> FineFaceEvaluation:
    told = {
        "prompts": None if options.prompts is None else _number(options.prompts),
        "combinations": options.combinations,
        "row_prompts": options.small["row_prompts"],
    }
    return FineFaceEvaluation(**options.model, **_given(told))


def _number(prompts: str) -> int:
    if not (prompts.isascii() and prompts.isdigit() and _FEWEST <= int(prompts[:9]) <= _MOST):
        raise ConfigError(
            f"--prompts is {shown(prompts)}; --protocol small takes a number from {_FEWEST} to "
            f"{_MOST} (files of prompts are for --protocol paper)"
        )
    return int(prompts)


def _paper(options: FineFaceOptions) -> PaperEvaluation:
    scales = options.paper["lora_scale"]
    told = {
        "prompts": options.prompts,
        "combinations": options.combinations,
        "landmarker": options.paper["landmarker"],
        **{name: options.paper[name] for name in ("clip", "reference", "inception", "methods")},
        "lora_scales": tuple(scales) if scales else None,
        "baselines": tuple(map(_baseline, options.paper["baseline"] or ())),
    }
    return PaperEvaluation(**options.model, **_given(told))


def _baseline(said: str) -> Baseline:
    name, separator, file = said.partition("=")
    if not (name.strip() and separator and file):
        raise ConfigError(
            f"--baseline {shown(said)} must look like DreamBooth=dreambooth.yaml: a name for the "
            "tables, and a file that holds a section pipeline"
        )
    return Baseline(name.strip(), Path(file))


def _given(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}
