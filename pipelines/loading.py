"""From the configuration to a loaded image source and verifier, and their weights."""

from collections.abc import Callable, Collection, Mapping

from pipelines.interfaces import ImageSource, Verifier
from synthgen.config import (
    CheckSection,
    PipelineSection,
    RunConfig,
)
from synthgen.config.base import Component, Weights
from synthgen.config.components import ComponentKind, either
from synthgen.config.identities import IDENTITIES
from synthgen.config.pipeline import PIPELINES
from synthgen.config.priors import PRIORS
from synthgen.errors import ConfigError


def pick_device() -> str:
    """Return `cuda` where this process sees a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def hardware_kind(device: str) -> str:
    """Return the kind of a torch device, on which bits depend: `CPU`, or a GPU's product name."""
    if device == "cpu":
        return "CPU"
    import torch

    return torch.cuda.get_device_name(device)


def fix_arithmetic(threads: int) -> None:
    """Make this process compute the same bits each time.

    CPU kernels change bits with the number of threads. On a GPU, cuDNN may pick other algorithms
    from run to run, and its default TF32 moves measurements by about 1e-3.
    """
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


def load_source(section: PipelineSection, device: str) -> ImageSource:
    """Load what turns specs into images.

    Raises:
        ConfigError: if what the section makes is no image source.
        WeightsError: if weights are missing or of the wrong format.
    """
    source = section.load(device)
    if not isinstance(source, ImageSource):
        raise ConfigError(
            f"pipeline.name is {section.name!r}, whose load() returns a {type(source).__name__}; "
            "it must return a pipelines.interfaces.ImageSource"
        )
    return source


def load_checks(config: RunConfig, device: str) -> list[Verifier]:
    """Load the checks of a run.

    Raises:
        ConfigError: if what a section makes is no verifier.
        WeightsError: if weights are missing or of the wrong format.
        MissingDependencyError: if a package is not installed.
        StoreError: if a store cannot be read or was made by another embedder.
    """
    return [load_check(section, device, config) for section in config.verify.checks]


def load_check(section: CheckSection, device: str, config: RunConfig) -> Verifier:
    """Load one check of a run; see `load_checks`."""
    check = section.load(device, config)
    if not isinstance(check, Verifier):
        raise ConfigError(
            f"verify.checks names {section.name!r}, whose load() returns a "
            f"{type(check).__name__}; it must return a pipelines.interfaces.Verifier"
        )
    return check


def check_components(run: RunConfig) -> None:
    """Refuse what the components cannot do in a run, before anything is loaded.

    Raises:
        SynthgenError: as their `check` and `check_values`; `ConfigError` if a condition is needed
            that nobody gives, or given and not used.
    """
    check_values(run)
    for component in run.components():
        component.check(run)


def check_values(run: RunConfig) -> None:
    """Refuse what rows would name and images could not show; loads no torch.

    Raises:
        SynthgenError: as the components' `check_values` and `check_conditions`.
    """
    check_conditions(run)
    for component in run.components():
        component.check_values(run)


def doubts(run: RunConfig) -> list[str]:
    """Return a sentence for each setting with which rows name what images do not show."""
    found = [text for component in run.components() for text in component.doubts(run)]
    return list(dict.fromkeys(found))


def check_conditions(run: RunConfig) -> None:
    """Compare what the pipeline and the checks need and take with what is given.

    Expressions and identities give. A condition that only a check takes is given for it.

    Raises:
        ConfigError: if one of them needs a condition that nobody gives, or a condition is given
            that none of them uses: rows would name what images do not show.
    """
    pipeline, expressions, identities = run.pipeline, run.expressions, run.identities
    for condition in sorted(identities.given() & expressions.given()):
        raise ConfigError(
            f"identities.source {identities.source!r} and expressions.prior {expressions.prior!r} "
            f"both give {condition}; set one of them to one that does not"
        )
    givers: dict[str, Component] = {
        "identities.source": identities,
        "expressions.prior": expressions,
    }
    used = pipeline.used().union(*(check.used() for check in run.verify.checks))
    for key, giver in givers.items():
        for condition in sorted(giver.given() - used):
            kind = _GIVERS[key]
            pipelines = _way("pipeline.name", _names(PIPELINES, {"needs", "takes"}, condition))
            if condition in giver.gives or condition not in giver.gives_with:
                cause = f"{key} is {getattr(giver, kind.key)!r}, which"
                others = _way(key, _names(kind, {"gives"}, condition, wanted=False))
                ways = f"set {', or '.join(filter(None, [pipelines, others]))}"
            else:
                cause = setting = f"{_section_of(key)}.{giver.gives_with[condition]}"
                ways = f"leave {setting} out{', or set ' if pipelines else ''}{pipelines}"
            raise ConfigError(
                f"{cause} gives {condition}, but the pipeline {pipeline.name!r} does not use it; "
                f"{ways}"
            )
    for taker in (pipeline, *run.verify.checks):
        for condition in sorted(taker.needs - identities.given() - expressions.given()):
            set_to = _ways_to_give(condition, givers)
            if taker is pipeline:
                others = _names(PIPELINES, {"needs"}, condition, wanted=False)
                set_to.append(_way("pipeline.name", others))
            ways = [f"set {', or '.join(filter(None, set_to))}"] if any(set_to) else []
            ways += [] if taker is pipeline else ["leave the check out"]
            raise ConfigError(
                f"the {'pipeline' if taker is pipeline else 'check'} {taker.name!r} needs "
                f"{condition}, which neither identities.source {identities.source!r} nor "
                f"expressions.prior {expressions.prior!r} gives; {', or '.join(ways)}"
            )


def _ways_to_give(condition: str, givers: Mapping[str, Component]) -> list[str]:
    """Return what would have somebody give a condition: keys with names, and keys of sections."""
    return [_way(key, _names(_GIVERS[key], {"gives"}, condition)) for key in givers] + [
        f"{_section_of(key)}.{giver.gives_with[condition]}"
        for key, giver in givers.items()
        if condition in giver.gives_with
    ]


_GIVERS: Mapping[str, ComponentKind] = {
    "identities.source": IDENTITIES,
    "expressions.prior": PRIORS,
}
"""Key → kind of component, of what may give conditions."""


def _names(
    kind: ComponentKind, what: Collection[str], condition: str, *, wanted: bool = True
) -> list[str]:
    """Return the names of sections that need, take or give a condition; or of those that do not."""
    return [
        repr(name)
        for name, section in kind.sections().items()
        if any(condition in getattr(section, each) for each in what) is wanted
    ]


def _section_of(key: str) -> str:
    return key.partition(".")[0]


def _way(key: str, names: list[str]) -> str:
    return f"{key} to {either(names)}" if names else ""


def weight_finders(run: RunConfig) -> list[Callable[[bool], Weights]]:
    """Return what looks for the weights of each component; see `Component.find_weights`."""
    return [component.find_weights for component in run.components()]


def fetch_weights(run: RunConfig) -> Weights:
    """Fetch the published weights of a run; what is here already is only checked.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or does not fit.
        MissingDependencyError: if an optional package that fetches is not installed.
    """
    return Weights.joined(find(True) for find in weight_finders(run))
