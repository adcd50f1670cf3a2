"""Summary of a plan before a run: the frequencies that it will give, as numbers and as text."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from samplers.flame.serving import Served, count_served
from samplers.plan import Plan, Series
from samplers.spec import SampleSpec
from synthgen.action_units import FACS
from synthgen.config.quotas import LEVELS, intensity_levels
from synthgen.errors import ConfigError
from synthgen.foreign import counted

COUNTED = 10_000
"""Samples, from the first, that the frequencies of a plan are counted over at most."""

COMMON = 12
"""Strata that are named at most."""


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """Share of one category: by the configuration, and among the counted samples."""

    name: str
    expected: float
    counted: float


@dataclass(frozen=True, slots=True)
class AUFrequency:
    """Rate of one AU, and its mean intensity where it is active.

    Attributes:
        name: the AU.
        asked_rate: share of samples that the prior was asked for, before rules and quotas.
        expected_rate: share of samples by the configuration, rules and quotas included.
        counted_rate: share of the counted samples.
        expected_mean: mean intensity by the configuration; None where never active.
        counted_mean: mean intensity among the counted samples; None where never active.
    """

    name: str
    asked_rate: float
    expected_rate: float
    counted_rate: float
    expected_mean: float | None
    counted_mean: float | None


@dataclass(frozen=True, slots=True)
class StratumShare:
    """Share of one quota cell, category, or set of active AUs.

    Attributes:
        name: the stratum.
        asked: its share by quotas or categories; None for a set of active AUs.
        counted: its share of the counted samples.
    """

    name: str
    asked: float | None
    counted: float


@dataclass(frozen=True, slots=True, eq=False)
class PlanSummary:
    """Summary of a plan.

    Attributes:
        samples: samples of the run.
        identities: identities of the run.
        series: the samples of each identity.
        noise: whose noise images start from: `sample` or `identity`.
        people: what the store of faces is; None where prompts say who is shown.
        shards: shards of the run.
        sizes: split → samples.
        counted: samples, from the first, that the frequencies were counted over; neutral images
            are left out of the counts.
        categories: shares of the categories; empty where the prior has none.
        ambiguous: groups of categories whose prototypes are the same on the AUs.
        quotas: shares of the quota cells; empty where there are none.
        slots: shares of the values of identity slots that have quotas; empty where there are none.
        aus: frequencies of the AUs.
        joint_expected: share of samples in which AU i and AU j are active, by the configuration;
            the diagonal holds the rates.
        joint_counted: the same among the counted samples.
        levels_counted: share of the counted samples in which each AU is at level 1 … 5.
        active_counted: share of the counted samples with 0, 1, … active AUs.
        common: the most frequent strata of the counted samples.
        notes: what the prior has to say, which splits get no sample, and which requests no face of
            a bank serves, a sentence each.
        first: the first specs.
        served: requests that the faces of a bank serve; None where there is no bank.
    """

    samples: int
    identities: int
    series: Series
    noise: str
    people: str | None
    shards: int
    sizes: dict[str, int]
    counted: int
    categories: tuple[CategoryShare, ...]
    ambiguous: tuple[tuple[str, ...], ...]
    quotas: tuple[StratumShare, ...]
    slots: tuple[StratumShare, ...]
    aus: tuple[AUFrequency, ...]
    joint_expected: Float64[np.ndarray, "aus aus"]
    joint_counted: Float64[np.ndarray, "aus aus"]
    levels_counted: Float64[np.ndarray, "aus 5"]
    active_counted: tuple[float, ...]
    common: tuple[StratumShare, ...]
    notes: tuple[str, ...]
    first: tuple[SampleSpec, ...]
    served: Served | None = None


def summarise(
    plan: Plan, first: int = 5, slots: Mapping[str, Mapping[str, float]] | None = None
) -> PlanSummary:
    """Summarise a plan.

    Args:
        plan: the plan.
        first: specs to show, from the first.
        slots: slot → value → share of the identities that is asked for, where there are quotas.

    Raises:
        ConfigError: if all samples are neutral images.
    """
    served = count_served(plan)
    plan = replace(plan, renderer=None)  # what cannot be shown is counted, not refused
    counted = min(plan.samples, COUNTED)
    specs = [
        spec
        for split in plan.sizes
        for spec in plan.specs(split, 0, plan.partition.size(split, counted))
        if not plan.series.is_neutral(spec.position)
    ]
    if not specs:
        raise ConfigError(
            f"samples is {plan.samples}; all of them are neutral images, ask for more"
        )
    vectors = np.array([spec.aus for spec in specs])
    active = vectors != 0
    return PlanSummary(
        samples=plan.samples,
        identities=plan.identities.count,
        series=plan.series,
        noise="identity" if plan.shared_noise else "sample",
        people=plan.identities.describe(),
        shards=sum(-(-size // plan.shard_size) for size in plan.sizes.values()),
        sizes=plan.sizes,
        counted=counted,
        categories=_category_shares(plan, specs),
        ambiguous=plan.prior.ambiguous(),
        quotas=_quota_shares(plan, specs),
        slots=_slot_shares(slots or {}, specs),
        aus=_au_frequencies(plan, specs),
        joint_expected=plan.prior.joint(),
        joint_counted=active.T.astype(np.float64) @ active / len(specs),
        levels_counted=_level_shares(vectors),
        active_counted=_number_shares(active),
        common=_common_strata(specs),
        notes=(
            *plan.prior.notes(),
            *filter(None, [plan.empty_splits, served.fault if served else ""]),
        ),
        first=tuple(plan.sample(index) for index in range(min(first, plan.samples))),
        served=served,
    )


def _category_shares(plan: Plan, specs: list[SampleSpec]) -> tuple[CategoryShare, ...]:
    emotions = [spec.emotion for spec in specs]
    return tuple(
        CategoryShare(name, share, emotions.count(name) / len(emotions))
        for name, share in plan.prior.category_shares().items()
    )


def _quota_shares(plan: Plan, specs: list[SampleSpec]) -> tuple[StratumShare, ...]:
    if (cells := plan.prior.quota_cells()) is None:
        return ()
    vectors = np.array([spec.aus for spec in specs], dtype=np.float32)
    known = [*plan.categories, None]
    labels = np.array([known.index(spec.emotion) for spec in specs]) if plan.categories else None
    counts = np.bincount(cells.numbers(vectors, labels), minlength=len(cells.names))
    return tuple(
        StratumShare(name, share, float(count) / len(specs))
        for name, share, count in zip(cells.names, cells.shares, counts.tolist(), strict=True)
    )


def _slot_shares(
    asked: Mapping[str, Mapping[str, float]], specs: list[SampleSpec]
) -> tuple[StratumShare, ...]:
    found = {slot: Counter(spec.identity[slot] for spec in specs) for slot in asked}
    return tuple(
        StratumShare(f"{slot} {value!r}", share, found[slot][value] / len(specs))
        for slot, shares in asked.items()
        for value, share in shares.items()
    )


def _common_strata(specs: list[SampleSpec]) -> tuple[StratumShare, ...]:
    found = Counter(spec.stratum for spec in specs)
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return tuple(StratumShare(name, None, count / len(specs)) for name, count in ordered[:COMMON])


def _level_shares(vectors: np.ndarray) -> Float64[np.ndarray, "aus 5"]:
    levels = intensity_levels(vectors)
    return np.stack([(levels == level).mean(axis=0) for level in range(1, LEVELS)], axis=1)


def _number_shares(active: np.ndarray) -> tuple[float, ...]:
    numbers = np.bincount(active.sum(axis=1), minlength=active.shape[1] + 1)
    return tuple((numbers / len(active)).tolist())


def _au_frequencies(plan: Plan, specs: list[SampleSpec]) -> tuple[AUFrequency, ...]:
    vectors = np.array([spec.aus for spec in specs])
    active = (vectors != 0).sum(axis=0)
    totals = vectors.sum(axis=0)
    prior = plan.prior
    asked, rates, means = prior.asked_rates(), prior.rates(), prior.mean_intensities()
    return tuple(
        AUFrequency(
            name=name,
            asked_rate=float(asked[au]),
            expected_rate=float(rates[au]),
            counted_rate=float(active[au] / len(specs)),
            expected_mean=float(means[au]) if rates[au] > 0 else None,
            counted_mean=float(totals[au] / active[au]) if active[au] else None,
        )
        for au, name in enumerate(prior.action_units.names)
    )


SEEN = 0.0005
"""Smallest change of a rate that a table with one decimal shows."""

CELLS = 40
"""Quota cells that are shown at most."""


def render(summary: PlanSummary, most_images: int = 0, sooner: str = "") -> str:
    """Write a summary as plain text, without a newline at the end.

    Args:
        summary: the summary.
        most_images: images that a sample may take; 0: not told.
        sooner: what ends a run before so many images are made, in words.
    """
    blocks = [
        [*_head(summary), *_worst_case(summary.samples, most_images, sooner)],
        _category_table(summary),
        _share_table("quota", summary.quotas, summary),
        _share_table("identity quota", summary.slots, summary),
        _au_table(summary),
        [f"note: {note}" for note in summary.notes],
        [line for spec in summary.first for line in _spec_lines(spec)],
    ]
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _head(summary: PlanSummary) -> list[str]:
    sizes = ", ".join(f"{split} {size}" for split, size in summary.sizes.items())
    people = [f"people      {summary.people}"] if summary.people else []
    bank = [f"bank        {summary.served.describe()}"] if summary.served else []
    return [
        f"samples     {summary.samples} ({sizes})",
        f"identities  {summary.identities}{_series(summary)}",
        *people,
        *bank,
        f"shards      {summary.shards}",
    ]


def _worst_case(samples: int, most_images: int, sooner: str) -> list[str]:
    """Say how many images a run makes at most, where several may be made for a sample."""
    if most_images < 2:
        return []
    ends = f" ({sooner})" if sooner else ""
    most = f"at most {most_images:,} a sample, {samples * most_images:,} in all"
    return [f"images      {most}{ends}"]


def _series(summary: PlanSummary) -> str:
    """Say what the samples of an identity are, where there are several."""
    series = summary.series
    if series.size == 1:
        return ""
    each = counted(series.expressions, "expression")
    neutral = ", a neutral image" if series.neutral else ""
    noise = ", one noise" if summary.noise == "identity" else ""
    return f" (each {each}{neutral}{noise})"


def _category_table(summary: PlanSummary) -> list[str]:
    if not summary.categories:
        return []
    width = max(len("category"), *(len(category.name) for category in summary.categories))
    rows = [
        f"{category.name:{width}}  {category.expected:8.1%}  {category.counted:8.1%}"
        for category in summary.categories
    ]
    same = [
        f"the same on the {len(summary.aus)} AUs: {', '.join(group)}" for group in summary.ambiguous
    ]
    return [f"{'category':{width}}  expected  {_source(summary)}", *rows, *same]


def _au_table(summary: PlanSummary) -> list[str]:
    names = max(len(FACS[au.name]) for au in summary.aus)
    # What was asked has a column of its own only where rules or quotas change it.
    changed = any(abs(au.asked_rate - au.expected_rate) >= SEEN for au in summary.aus)
    rows = [
        f"{au.name:5} {FACS[au.name]:{names}}{f'  {au.asked_rate:8.1%}' * changed}"
        f"  {au.expected_rate:8.1%}  {au.counted_rate:8.1%}"
        f"  {_intensity(au.expected_mean):>8}  {_intensity(au.counted_mean):>8}"
        for au in summary.aus
    ]
    indent = " " * (6 + names)
    asked, active = f"  {'asked':>8}" * changed, f"  {'active':>8}"
    return [
        f"{indent}{active}{' ' * len(asked)}  {'':8}  {'mean intensity where active'}",
        f"{indent}{asked}  expected  {'planned':>8}  expected  {'planned':>8}",
        *rows,
    ]


def _share_table(title: str, shares: tuple[StratumShare, ...], summary: PlanSummary) -> list[str]:
    if not shares:
        return []
    shown = shares[:CELLS]
    width = max(len(title), *(len(cell.name) for cell in shown))
    rows = [f"{cell.name:{width}}  {cell.asked or 0:8.1%}  {cell.counted:8.1%}" for cell in shown]
    more = len(shares) - len(shown)
    left = [f"… and {more} more"] if more else []
    return [f"{title:{width}}  {'asked':>8}  {_source(summary)}", *rows, *left]


def _spec_lines(spec: SampleSpec) -> list[str]:
    return [
        f"{spec.sample_id}  {spec.split}  {spec.identity_id}  {spec.stratum}",
        f"    {spec.action_units.describe(spec.aus)}",
        f"    {spec.prompt}",
    ]


def _source(summary: PlanSummary) -> str:
    if summary.counted == summary.samples:
        return f"{'planned':>8}"
    return f"{'planned':>8}  (first {summary.counted} samples)"


def _intensity(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
