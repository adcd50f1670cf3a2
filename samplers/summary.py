"""What a plan will make, for people to read before a run."""

from dataclasses import dataclass

import numpy as np

from samplers.plan import Plan
from samplers.spec import SampleSpec
from synthgen.action_units import AU_NAMES, AUS, describe

COUNTED = 10_000
"""Samples, from the first, that the frequencies of a plan are counted over at most."""


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """Share of one category: by the configuration, and among the counted samples."""

    name: str
    expected: float
    counted: float


@dataclass(frozen=True, slots=True)
class AUFrequency:
    """How often one AU is active, and its mean intensity where it is.

    Attributes:
        name: the AU.
        expected_rate: share of samples by the configuration, exact.
        counted_rate: share of the counted samples.
        expected_mean: mean intensity by the configuration, exact; None where never active.
        counted_mean: mean intensity among the counted samples; None where never active.
    """

    name: str
    expected_rate: float
    counted_rate: float
    expected_mean: float | None
    counted_mean: float | None


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan will make.

    Attributes:
        samples: samples of the run.
        identities: identities of the run.
        shards: shards of the run.
        sizes: split → samples.
        counted: samples, from the first, that the frequencies were counted over.
        categories: shares of the categories; empty where the prior has none.
        ambiguous: groups of categories whose prototypes are the same on the 12 AUs.
        aus: frequencies of the 12 AUs.
        first: the first specs.
    """

    samples: int
    identities: int
    shards: int
    sizes: dict[str, int]
    counted: int
    categories: tuple[CategoryShare, ...]
    ambiguous: tuple[tuple[str, ...], ...]
    aus: tuple[AUFrequency, ...]
    first: tuple[SampleSpec, ...]


def summarise(plan: Plan, first: int = 5) -> PlanSummary:
    """Summarise a plan.

    Args:
        plan: the plan.
        first: specs to show, from the first.
    """
    counted = min(plan.samples, COUNTED)
    specs = [
        spec
        for split in plan.sizes
        for spec in plan.specs(split, 0, plan.partition.size(split, counted))
    ]
    return PlanSummary(
        samples=plan.samples,
        identities=plan.identities.count,
        shards=sum(-(-size // plan.shard_size) for size in plan.sizes.values()),
        sizes=plan.sizes,
        counted=counted,
        categories=_category_shares(plan, specs),
        ambiguous=plan.prior.ambiguous(),
        aus=_au_frequencies(plan, specs),
        first=tuple(plan.sample(index) for index in range(min(first, plan.samples))),
    )


def render(summary: PlanSummary) -> str:
    """Write a summary as plain text, without a newline at the end."""
    blocks = [_head(summary), _category_table(summary), _au_table(summary), _first(summary)]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _category_shares(plan: Plan, specs: list[SampleSpec]) -> tuple[CategoryShare, ...]:
    emotions = [spec.emotion for spec in specs]
    return tuple(
        CategoryShare(name, share, emotions.count(name) / len(emotions))
        for name, share in plan.prior.category_shares().items()
    )


def _au_frequencies(plan: Plan, specs: list[SampleSpec]) -> tuple[AUFrequency, ...]:
    vectors = np.array([spec.aus for spec in specs])
    active = (vectors != 0).sum(axis=0)
    totals = vectors.sum(axis=0)
    rates, means = plan.prior.rates(), plan.prior.mean_intensities()
    return tuple(
        AUFrequency(
            name=name,
            expected_rate=float(rates[au]),
            counted_rate=float(active[au] / len(specs)),
            expected_mean=float(means[au]) if rates[au] > 0 else None,
            counted_mean=float(totals[au] / active[au]) if active[au] else None,
        )
        for au, name in enumerate(AUS)
    )


def _head(summary: PlanSummary) -> list[str]:
    sizes = ", ".join(f"{split} {size}" for split, size in summary.sizes.items())
    return [
        f"samples     {summary.samples} ({sizes})",
        f"identities  {summary.identities}",
        f"shards      {summary.shards}",
    ]


def _category_table(summary: PlanSummary) -> list[str]:
    if not summary.categories:
        return []
    width = max(len("category"), *(len(category.name) for category in summary.categories))
    rows = [
        f"{category.name:{width}}  {category.expected:8.1%}  {category.counted:8.1%}"
        for category in summary.categories
    ]
    same = [f"the same on the 12 AUs: {', '.join(group)}" for group in summary.ambiguous]
    return [f"{'category':{width}}  expected  {_source(summary)}", *rows, *same]


def _au_table(summary: PlanSummary) -> list[str]:
    names = max(len(name) for name in AU_NAMES.values())
    rows = [
        f"{au.name:5} {AU_NAMES[au.name]:{names}}  {au.expected_rate:8.1%}  {au.counted_rate:8.1%}"
        f"  {_intensity(au.expected_mean):>8}  {_intensity(au.counted_mean):>8}"
        for au in summary.aus
    ]
    indent = " " * (6 + names)
    return [
        f"{indent}  {'active':>8}  {'':8}  {'mean intensity where active'}",
        f"{indent}  expected  {'planned':>8}  expected  {'planned':>8}",
        *rows,
    ]


def _first(summary: PlanSummary) -> list[str]:
    return [line for spec in summary.first for line in _spec_lines(spec)]


def _spec_lines(spec: SampleSpec) -> list[str]:
    return [
        f"{spec.sample_id}  {spec.split}  {spec.identity_id}  {spec.stratum}",
        f"    {describe(spec.aus)}",
        f"    {spec.prompt}",
    ]


def _source(summary: PlanSummary) -> str:
    if summary.counted == summary.samples:
        return f"{'planned':>8}"
    return f"{'planned':>8}  (first {summary.counted} samples)"


def _intensity(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
