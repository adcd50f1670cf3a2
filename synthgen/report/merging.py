"""A merge that was done, in a few lines."""

from synthgen.dataset import Storage
from synthgen.dataset.loading import load_call
from synthgen.dataset.merging import Merged, Merging
from synthgen.foreign import without_secrets


def describe_merged(asked: Merging, found: Merged) -> str:
    """Say what a merged dataset holds, what was left out, and how to load it."""
    statistics = found.statistics
    splits = ", ".join(f"{split} {rows}" for split, rows in statistics.rows.items())
    people = sum(statistics.identities.values())
    lines = [
        f"{without_secrets(asked.to)}: {statistics.total} samples of {people} identities from "
        f"{_many(len(asked.sources), 'dataset')} ({splits}), "
        f"{_many(sum(statistics.rejects.values()), 'rejected attempt')}"
    ]
    if found.left_out:
        reasons = ", ".join(f"{rows} by {reason}" for reason, rows in found.left_out.items())
        lines.append(f"left out: {reasons}")
    if found.moved:
        lines.append(f"moved: {_many(found.moved, 'row')} to the split of their identity")
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join([*lines, f"load it: {load_call(Storage(asked.to))}"])


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
