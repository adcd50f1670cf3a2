"""What a run left behind, in a few lines."""

from collections.abc import Mapping

from cluster.driver import Summary
from synthgen.config import RunConfig
from synthgen.dataset import Storage
from synthgen.dataset.loading import load_call
from synthgen.dataset.pace import Pace, describe_stages


def describe_run(config: RunConfig, summary: Summary) -> str:
    """Say where the dataset is, what it holds, and how to load it."""
    path = config.output.path
    lines = [
        f"{path}: {summary.rows} samples from {summary.attempts} images "
        f"({summary.rows / max(summary.attempts, 1):.0%} kept)"
    ]
    if summary.rejected:
        lines.append(describe_reasons(summary.rejected))
    if unaccepted := summary.rows - summary.accepted:
        lines.append(f"unaccepted: {unaccepted} samples hold the best of their attempts")
    if summary.missing:
        lines.append(f"missing: {summary.missing} samples found no accepted image")
    if summary.errors:
        lines.append(f"failed: {summary.errors} samples raised; see reason 'error' in rejects")
    if summary.pace is not None:
        lines += describe_pace(summary.pace)
    lines.append(f"load it: {load_call(Storage(path))}")
    return "\n".join(lines)


def describe_pace(pace: Pace) -> list[str]:
    """Say how fast a dataset was made, and which stage held its workers back."""
    hours = f"{pace.worker_seconds / 3600:.3g} worker hours"
    return [f"speed: {pace.overall.images:.3g} images/s, {hours}", describe_stages(pace)]


def describe_reasons(rejected: Mapping[str, int]) -> str:
    """Say why images were rejected, the most frequent reason first."""
    reasons = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    return "rejected: " + ", ".join(f"{count} {reason}" for reason, count in reasons)
