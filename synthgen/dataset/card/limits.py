"""The intended use of a dataset, and its limits: what its labels, checks and people cannot tell.

Sentences that the card and `croissant.json` share. All follow from the record and the counts; none
is promised of images that nobody measured.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from synthgen.dataset.card.origin import check_names
from synthgen.dataset.run_record import RunRecord
from synthgen.dataset.schema import AUS_MEASURED, REFERENCE_ID, VALENCE
from synthgen.dataset.statistics import AUStatistics, Statistics
from synthgen.foreign import counted

_WEAK = 0.5
"""Share of the mean intensity asked for by which an AU must at least be measured higher where it
is asked for than where it is not; below it, the AU is named as one that can hardly be told."""

USES = (
    "Training recognisers of facial Action Units and expressions; comparing ways to train them.",
    "Asking how labels, people and checks of a training set change what a recogniser learns: each "
    "is known here, and each row can be made again.",
    "Teaching, and trying software that handles such data, without pictures of real people.",
)
"""Uses that the data is made for, a sentence each."""

MISUSES = (
    "Saying what a real person feels: an expression is not a feeling. The EU's AI Act (Regulation "
    "2024/1689, Art. 5) forbids systems that infer emotions at work and in education, save for "
    "medical or safety reasons.",
    "Recognising or identifying people: nobody here is real, unless the limits below say so.",
    "Evidence of how often people show an expression, or who does: the configuration says that.",
    "Judging the verifier that chose the images, or a model by that verifier's measurements alone.",
)
"""Uses that it is not made for, a sentence each."""


def uses_section() -> str:
    """Write the section as Markdown."""
    return "\n".join(
        ["## Intended use", "", *_items(USES), "", "Not made for:", "", *_items(MISUSES)]
    )


def limits_section(record: RunRecord, statistics: Statistics) -> str:
    """Write the section as Markdown."""
    found = [*limits(record, statistics), *biases(statistics)]
    return "\n".join(["## Limits", "", *_items(found)])


def limits(record: RunRecord, statistics: Statistics) -> list[str]:
    """Say what the labels and checks cannot tell, a sentence each."""
    return [
        *_labels(record, statistics),
        *_places(record),
        *_unjudged_aus(record),
        *_weak_aus(statistics.aus),
        *_same_categories(statistics),
        *_unkept(statistics),
        *_people(record),
    ]


def biases(statistics: Statistics) -> list[str]:
    """Say whose images are refused more often, and which categories are rare, a sentence each."""
    said = [
        f"Images of {each.name} are refused more often: {each.first.text()} of their first "
        f"attempts were kept, {each.others.text()} of the slot's other values."
        for each in statistics.by_slot.unequal
        if each.first.share < each.others.share
    ]
    ties = [tie for tie in statistics.by_slot.ties if statistics.by_slot.beyond_chance(tie)]
    if ties:
        said.append(
            f"Slot values that stand with AUs more or less often than by chance: {len(ties)} "
            f"pairs, the strongest {ties[0].name} with {ties[0].au} (φ = {ties[0].phi:+.2f})."
        )
    counts = {name: sum(of.values()) for name, of in statistics.categories.items()}
    if counts and max(counts.values()) > 2 * min(counts.values()):
        most, least = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
        said.append(
            f"Categories are not equally frequent: {counts[most]} rows of {most}, {counts[least]} "
            f"of {least}."
        )
    return said


def _labels(record: RunRecord, statistics: Statistics) -> list[str]:
    asked = "`aus`, and `emotion` where it is there, say what was asked for"
    if statistics.total and statistics.unjudged == statistics.total:
        return [f"{asked}; no check has looked at what the images show."]
    if not record.schema.has(AUS_MEASURED):
        return [f"{asked}; no person has looked at the images, and no check measured their AUs."]
    return [
        f"{asked}, `aus_measured` what a network measured, with its errors; no person has looked "
        "at the images."
    ]


def _places(record: RunRecord) -> list[str]:
    if not record.schema.has(VALENCE):
        return []
    return [
        "`valence` and `arousal` follow from category and intensity asked for, by ratings of words "
        "(Russell & Mehrabian 1977; in proportion to the intensity, after Reisenzein 1994): nobody "
        "rated the images, and rows of one category differ in nothing but intensity."
    ]


def _unjudged_aus(record: RunRecord) -> list[str]:
    """Name the AUs that a policy leaves unjudged, or judges less strictly than the others."""
    lines = []
    for policy in _policies(record):
        bound = policy.get("max_inactive")
        tolerances = policy["per_au_tolerance"]
        if free := [au for au, tolerance in tolerances.items() if tolerance is None]:
            lines.append(
                f"The policy does not judge {', '.join(free)}: whether shown is not known."
            )
        loose = {
            au: tolerance
            for au, tolerance in tolerances.items()
            if tolerance is not None and bound is not None and tolerance > bound
        }
        if loose:
            said = ", ".join(f"{au} by {tolerance:g}" for au, tolerance in loose.items())
            lines.append(
                f"Measured intensities may miss what was asked for by more than the other AUs' "
                f"{bound:g}: {said}."
            )
    return lines


def _policies(record: RunRecord) -> Iterator[Mapping[str, Any]]:
    """Yield the policies of a record that have tolerances by AU, those of merged datasets too."""
    identities = [source["identity"] for source in record.sources] or [record.identity]
    seen = []
    for identity in identities:
        for policy in _with_tolerances(identity.get("configuration", {}).get("verify", {})):
            if policy not in seen:
                seen.append(policy)
                yield policy


def _with_tolerances(value: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, Mapping):
        if isinstance(value.get("per_au_tolerance"), Mapping):
            yield value
        for child in value.values():
            yield from _with_tolerances(child)
    elif isinstance(value, list):
        for child in value:
            yield from _with_tolerances(child)


def _weak_aus(aus: tuple[AUStatistics, ...]) -> list[str]:
    """Name the AUs that are measured hardly higher where they are asked for than elsewhere."""
    weak = [
        f"{au.name} ({au.mean_measured:.1f} where {au.mean_requested:.1f} was asked for, "
        f"{au.mean_elsewhere:.1f} elsewhere)"
        for au in aus
        # NaN, where nothing was measured, compares as false.
        if au.mean_measured - au.mean_elsewhere < _WEAK * au.mean_requested
    ]
    if not weak:
        return []
    return [
        "AUs that the images hardly show, or the verifier can hardly judge, by their mean measured "
        f"intensities: {', '.join(weak)}."
    ]


def _same_categories(statistics: Statistics) -> list[str]:
    """Name categories whose rows always ask for the same AUs: who sees one cannot tell which."""
    always: dict[tuple[str, ...], list[str]] = {}
    for name, shares in statistics.category_aus.items():
        shown = tuple(au for au, share in shares.items() if share == 1)
        if shown:
            always.setdefault(shown, []).append(name)
    lines = [
        f"{' and '.join(names)} are ambiguous: all rows of each ask for {', '.join(aus)}, and by "
        "these alone nobody can tell them apart."
        for aus, names in always.items()
        if len(names) > 1
    ]
    single = [f"{names[0]} ({aus[0]})" for aus, names in always.items() if len(aus) == 1]
    if single:
        lines.append(
            "Categories of which all rows share one AU only, so that a face of the category may "
            f"show little else: {', '.join(single)}."
        )
    return lines


def _unkept(statistics: Statistics) -> list[str]:
    lines = []
    if kept := statistics.total - statistics.accepted:
        lines.append(f"{counted(kept, 'row')} with `accepted` = false show something else.")
    if statistics.missing:
        lines.append(
            f"{counted(len(statistics.missing), 'sample')} that no image was kept for are missing, "
            "which are the expressions and people that are hard to show."
        )
    return lines


def _people(record: RunRecord) -> list[str]:
    lines = []
    if record.schema.slots:
        lines.append(
            f"The slots of `identity` ({', '.join(record.schema.slots)}) are words of a prompt, "
            "not traits of anybody; they are few, and people are more."
        )
    if record.schema.has(REFERENCE_ID):
        lines.append(
            "Images were made by editing pictures of people, who may be real: ask for their "
            "consent before publishing anything."
        )
    checks = [name for name in check_names(record.configuration) if name != "none"]
    if len(checks) == 1 and not record.sources:
        lines.append(f"One check, `{checks[0]}`, chose the images; what it cannot see was kept.")
    return lines


def _items(sentences: tuple[str, ...] | list[str]) -> list[str]:
    return [f"- {sentence}" for sentence in sentences]
