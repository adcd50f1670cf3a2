"""Estimate of a run on GPUs that are not at hand: nothing is looked at, fetched or measured."""

from collections.abc import Iterator
from dataclasses import dataclass

from cluster.preflight.findings import in_digits, in_time
from synthgen.config import RunConfig
from synthgen.config.base import Figure, Weights
from synthgen.errors import ConfigError

_HINT = "or measure on such a GPU with `synthgen check CONFIG --measure`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """GPUs that a run is thought onto, and what is known of them.

    Attributes:
        gpus: how many of them.
        kind: their name; None: that of no GPU, the rate is said.
        rate: images a second of one of them; None: a published figure for the kind.
        acceptance: share of the images that are kept (0, 1]; None: not known.
        cost_per_hour: what an hour of one of them costs; None: what the configuration says.
    """

    gpus: int = 1
    kind: str | None = None
    rate: float | None = None
    acceptance: float | None = None
    cost_per_hour: float | None = None


def describe_elsewhere(config: RunConfig, asked: Elsewhere) -> str:
    """Say how long a run takes there, and what it costs.

    Raises:
        ConfigError: if there is no rate: neither is one said, nor is there a published figure for
            the pipeline on that kind of GPU.
    """
    rate = _rate(config, asked)
    kind = asked.kind or f"GPU{'' if asked.gpus == 1 else 's'}"
    times = "× " if asked.kind else ""
    told = [
        ("rate", f"{rate.value:.2f} images/s a GPU ({rate.source})"),
        *_kept(config, asked, rate.value),
    ]
    if (price := _price(config, asked)) is not None:
        told.append(("cost", f"at {price:g} an hour of a GPU"))
    return "\n".join(
        [
            f"{config.name}: {config.samples:,} samples on {asked.gpus} {times}{kind}, an "
            "estimate: nothing was looked at or measured",
            "",
            *(f"{name:<12}{text}" for name, text in told),
        ]
    )


def _rate(config: RunConfig, asked: Elsewhere) -> Figure:
    if asked.rate is not None:
        return Figure(asked.rate, "as --rate says")
    if asked.kind is None:
        raise ConfigError(f"give --gpu-type or --rate, {_HINT}")
    known = config.pipeline.published_gpus()
    if not known:
        raise ConfigError(
            f"no published figure holds for pipeline {config.pipeline.name!r} as it is configured: "
            "they are for published weights of photographs, in float16 and with guidance; give "
            f"--rate, {_HINT}"
        )
    found = config.pipeline.known_rate(Weights(), [asked.kind])
    if found is None:
        raise ConfigError(
            f"--gpu-type {asked.kind!r} has no published figure; those that have one: "
            f"{', '.join(known)}; give --rate for another, {_HINT}"
        )
    return Figure(found.value, f"published: {found.source}")


def _kept(config: RunConfig, asked: Elsewhere, rate: float) -> Iterator[tuple[str, str]]:
    samples, each = config.samples, config.verify.most_images
    price = _price(config, asked)
    if not config.verify.checks:
        yield "images", f"{samples:,}: no check looks at them, every first one is kept"
        yield "time", _time(samples, asked, rate, price)
        return
    if asked.acceptance is None:
        yield "images", f"at least {samples:,}: every first image kept, which nobody knows yet"
        yield "", "--acceptance 0.7 reckons with 70% of them"
    else:
        images = samples / asked.acceptance
        yield "images", f"about {images:,.0f}: {asked.acceptance:.0%} kept, as --acceptance says"
    least = "at least " if asked.acceptance is None else "about "
    yield "time", least + _time(samples / (asked.acceptance or 1), asked, rate, price)
    if each > 1:
        yield "worst case", f"{samples * each:,} images, {each:,} a sample, none of them kept:"
        yield "", _time(samples * each, asked, rate, price)
        if config.verify.sooner:
            yield "", config.verify.sooner


def _time(images: float, asked: Elsewhere, rate: float, price: float | None) -> str:
    seconds = images / rate
    cost = "" if price is None else f", cost {in_digits(seconds / 3600 * price)}"
    hours = f"{in_digits(seconds / 3600)} GPU hours"
    return f"{in_time(seconds / asked.gpus)}, {hours}{cost}"


def _price(config: RunConfig, asked: Elsewhere) -> float | None:
    """Return what an hour of a GPU costs; the configuration says it of an actor."""
    if asked.cost_per_hour is not None:
        return asked.cost_per_hour
    price, share = config.cluster.cost_per_hour, config.cluster.gpus_per_actor
    return price if price is None or share == "auto" or not share else price / share
