"""Coverage of a bank: how many faces show each Action Unit at each level, and gaps in words."""

import secrets
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from samplers.flame.bank import Bank
from samplers.flame.drawn import EXTRACTOR
from synthgen.action_units import FACS
from synthgen.dataset.whole_files import replacing
from synthgen.errors import OutputError
from synthgen.foreign import counted, excerpt, first_few

LEVELS = 6
"""Levels of an intensity: 0 to 5."""

FEW = 10
"""Faces below which a level counts as hardly shown."""

_NAMED = 12
"""Pairs that are named at most."""

_SHOWN_FROM = 2
"""Level from which an AU counts as shown beside another one."""


def measured_levels(aus: np.ndarray) -> Int64[np.ndarray, "*any"]:
    """Return the level that each measured intensity rounds to, 0 to 5; networks hardly say 0."""
    return np.clip(np.floor(aus + 0.5), 0, LEVELS - 1).astype(np.int64)


def count_levels(bank: Bank) -> Int64[np.ndarray, "aus 6"]:
    """Return how many faces show each AU at each level."""
    levels = measured_levels(bank.aus)
    return np.stack([(levels == level).sum(axis=0) for level in range(LEVELS)], axis=1)


def find_gaps(bank: Bank) -> list[str]:
    """Return what a bank lacks, a sentence each."""
    counts = count_levels(bank)
    gaps = [
        gap
        for name, row in zip(bank.action_units.names, counts.tolist(), strict=True)
        if (gap := _gap(name, row))
    ]
    levels = measured_levels(bank.aus)
    if (neutral := int((levels == 0).all(axis=1).sum())) < FEW:
        gaps.append(f"neutral: {counted(neutral, 'face')} without any AU")
    shown = levels >= _SHOWN_FROM
    alone = [au for au in range(shown.shape[1]) if shown[:, au].sum() >= FEW]
    names = bank.action_units.names
    apart = [
        f"{names[one]}+{names[other]}"
        for one, other in combinations(alone, 2)
        if not (shown[:, one] & shown[:, other]).any()
    ]
    if apart:
        gaps.append(
            f"together: no face shows {first_few(apart, _NAMED)} at level {_SHOWN_FROM} or more"
        )
    return gaps


def describe_bank(bank: Bank) -> str:
    """Write what a bank holds as plain text, without a newline at the end."""
    about = bank.about
    pictures = len(set(bank.sources))
    width = max(len(FACS[name]) for name in bank.action_units.names)
    head = [
        f"{bank.where}: {counted(len(bank), 'face')} of {counted(pictures, 'picture')}",
        f"extractor   {_network(about.extractor, [about.extractor_fingerprint])}",
        f"measurer    {_network(about.measurer, about.measurer_fingerprints.values())}",
        *(
            f"licence     {excerpt(name)}: {excerpt(text)}"
            for name, text in sorted(about.licences.items())
        ),
        *([f"origin      {excerpt(about.text)}"] if about.text else []),
        *_quality(bank),
        f"digest      {bank.digest}",
    ]
    rows = [
        f"{name:5} {FACS[name]:{width}}  " + " ".join(f"{count:7,}" for count in row)
        for name, row in zip(bank.action_units.names, count_levels(bank).tolist(), strict=True)
    ]
    table = [
        f"{'faces at level':{6 + width}}  " + " ".join(f"{level:7}" for level in range(LEVELS)),
        *rows,
    ]
    gaps = find_gaps(bank)
    words = ["gaps:", *(f"- {gap}" for gap in gaps)] if gaps else ["no gaps"]
    return "\n".join([*head, "", *table, "", *words, "", describe_sides(bank)])


def describe_sides(bank: Bank) -> str:
    """Say which of the numbers of a bank are one-sided."""
    if bank.about.extractor == EXTRACTOR:
        return "left and right: the numbers of drawn faces have both, AUs none"
    return "left and right: FLAME has them for the eyelids and the jaw alone, AUs for none"


def write_aus(bank: Bank, path: Path) -> None:
    """Write the AUs of each face as a label file, from which a prior may draw what a bank serves.

    Raises:
        OutputError: if the file cannot be written, or its name does not end in .csv.
    """
    if path.suffix != ".csv":
        raise OutputError(f"{excerpt(path)} cannot be written; labels end in .csv")
    lines = [",".join(bank.action_units.names)]
    lines += [",".join(f"{value:.4g}" for value in row) for row in bank.aus.tolist()]
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with replacing(path, part):
            part.write_text("\n".join([*lines, ""]), encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {excerpt(path)}: {error.strerror}") from error


def _network(name: str, fingerprints: Iterable[str]) -> str:
    known = excerpt(", ".join(sorted(filter(None, fingerprints))))
    return f"{excerpt(name)} ({known or 'weights not known'})"


def _quality(bank: Bank) -> list[str]:
    if bank.quality is None:
        return []
    known = bank.quality[~np.isnan(bank.quality)].astype(np.float64)
    low, middle, high = np.min(known), np.median(known), np.max(known)
    return [f"quality     {low:.3g} to {high:.3g}, {middle:.3g} at the median"]


def _gap(name: str, counts: list[int]) -> str:
    """Say which levels of an AU hardly any face shows."""
    few = [level for level in range(1, LEVELS) if counts[level] < FEW]
    if not few:
        return ""
    if len(few) == LEVELS - 1 and not sum(counts[1:]):
        return f"{name}: no face shows it"
    told = [f"{counted(counts[level], 'face')} at level {level}" for level in few]
    return f"{name}: {first_few(told, LEVELS, end=', ')}".replace("0 faces", "no face")
