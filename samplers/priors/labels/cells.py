"""Cells of label tables: numbers in all the ways that people and programs write them."""

import re

NO_VALUE = frozenset(
    (
        "",
        *("nan", "-nan", "+nan", "-nan(ind)", "nan(ind)", "-nan(snan)", "nan(snan)"),
        *("na", "n/a", "#n/a", "<na>", "null", "none", "-1.#ind", "1.#ind", "-1.#qnan", "1.#qnan"),
        *("-1.#snan", "1.#snan", "-1.#j", "1.#r"),
    )
)
"""Cells, in lower case and without blanks around, that say that there is no value. Those with `#`
are Microsoft's C library's."""

LETTERS = {letter: float(level) for level, letter in enumerate("ABCDE", start=1)}
"""FACS's letters of intensity."""

_LONGEST = 64
"""Characters of a number at most; longer ones are none."""

_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d{1,3})?", re.ASCII)


def read_cell(text: str, missing: frozenset[str] = frozenset()) -> float | None:
    """Return the number that a cell holds, NaN where it holds no value, None where neither.

    Args:
        text: the cell; a decimal comma is a point.
        missing: further texts that stand for no value, in lower case.
    """
    cell = text.strip()
    if len(cell) > _LONGEST:
        return None
    if _NUMBER.fullmatch(cell):
        return float(cell.replace(",", "."))
    folded = cell.lower()
    return float("nan") if folded in NO_VALUE or folded in missing else None


def read_intensity(text: str, missing: frozenset[str] = frozenset()) -> float | None:
    """Return what `read_cell` does, and the level of a letter of A–E."""
    level = LETTERS.get(text.strip().upper())
    return read_cell(text, missing) if level is None else level
