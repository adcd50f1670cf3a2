"""Summaries of a finished run or merge, in a few lines."""

import shlex
from collections.abc import Mapping

from cluster.driver import Summary
from synthgen.config import RunConfig
from synthgen.dataset import Storage
from synthgen.dataset.loading import load_call
from synthgen.dataset.merging import Merged, Merging
from synthgen.dataset.pace import Pace, describe_stages
from synthgen.dataset.strata import describe_rejected, describe_short
from synthgen.foreign import counted
from synthgen.redaction import without_secrets


def describe_run(config: RunConfig, summary: Summary) -> str:
    """Say what is missing first, then where the dataset is, what it holds, and how to load it."""
    path = config.output.path
    lines = [
        *_shortfall(summary),
        f"{path}: {counted(summary.rows, 'sample')} from {counted(summary.attempts, 'image')} "
        f"({summary.rows / max(summary.attempts, 1):.0%} kept)",
    ]
    if not config.verify.checks:
        lines.append("no check has looked at them: accepted is null")
    if summary.rejected:
        lines.append(describe_reasons(summary.rejected))
    if unaccepted := summary.rows - summary.accepted:
        best = "samples hold the best of their attempts (accepted=false)"
        lines.append(f"unaccepted: {unaccepted} {best}")
    if summary.missing:
        lines.append(f"missing: {counted(summary.missing, 'sample')} found no accepted image")
    if summary.errors:
        lines.append(
            f"failed: {counted(summary.errors, 'sample')} raised; see reason 'error' in rejects"
        )
    if summary.pace is not None:
        lines += describe_pace(summary.pace)
    if summary.empty_splits:
        lines.append(f"note: {summary.empty_splits}")
    if summary.rows:
        lines.append(f"look at it: synthgen report {shlex.quote(path)} --html report.html")
        lines.append(f"load it: {load_call(Storage(path))}")
    else:
        lines.append("nothing to load: no sample has an image that was kept")
    return "\n".join(lines)


def describe_pace(pace: Pace) -> list[str]:
    """Say how fast a dataset was made, and which stage held its workers back."""
    hours = f"{pace.worker_seconds / 3600:.3g} worker hours"
    return [f"speed: {pace.overall.images:.3g} images/s, {hours}", describe_stages(pace)]


def describe_reasons(rejected: Mapping[str, int]) -> str:
    """Say why images were rejected, the most frequent reason first."""
    return f"rejected: {describe_rejected(rejected)}"


def _shortfall(summary: Summary) -> list[str]:
    """Say which strata fell short, where any did."""
    if not summary.lacking:
        return []
    asked = summary.rows + summary.missing
    head = f"not all accepted: {summary.accepted} of {asked} samples keep the policy; fell short:"
    if summary.missing:
        head = f"less than asked: {summary.rows} of {asked} samples; these strata fell short:"
    strata = [f"  {line}" for line in describe_short(summary.short, summary.lacking)]
    helps = (
        "what helps: a looser policy or more verify.max_attempts, and to begin anew "
        "(--overwrite, or another output.path); the same configuration gives the same again"
    )
    return [head, *strata, *([helps] if summary.missing > summary.errors else [])]


def describe_merged(asked: Merging, found: Merged) -> str:
    """Say what a merged dataset holds, what was left out, and how to load it."""
    statistics = found.statistics
    splits = ", ".join(f"{split} {rows}" for split, rows in statistics.rows.items())
    people = sum(statistics.identities.values())
    lines = [
        f"{without_secrets(asked.to)}: {counted(statistics.total, 'sample')} of "
        f"{counted(people, 'identity', 'identities')} from "
        f"{counted(len(asked.sources), 'dataset')} ({splits}), "
        f"{counted(sum(statistics.rejects.values()), 'rejected attempt')}"
    ]
    if found.left_out:
        reasons = ", ".join(f"{rows} by {reason}" for reason, rows in found.left_out.items())
        lines.append(f"left out: {reasons}")
    if found.moved:
        lines.append(f"moved: {counted(found.moved, 'row')} to the split of their identity")
    lines += [f"note: {note}" for note in found.notes]
    return "\n".join([*lines, f"load it: {load_call(Storage(asked.to))}"])
