"""How far a run is, for people and for programs."""

import json
from collections.abc import Iterator
from dataclasses import asdict

from synthgen.dataset.pace import describe_stages
from synthgen.dataset.shortfall import describe_short
from synthgen.report.run_summary import describe_reasons
from synthgen.report.status import Status


def describe_status(status: Status) -> str:
    """Write a status as plain text, without a newline at the end."""
    return "\n".join([f"{status.url}: {_state(status)}", *_counts(status), *_pace(status)])


def status_json(status: Status) -> str:
    """Write a status as one JSON object on a line; times in seconds, shares from 0 to 1."""
    pace = status.pace
    found = {
        **{key: value for key, value in asdict(status).items() if key not in ("pace", "heart")},
        "finished": status.finished,
        "whole": status.whole,
        "running": status.running,
        "acceptance": status.acceptance,
        "seconds_left": status.seconds_left,
        "cost_per_thousand": status.cost_per_thousand,
        "driver": None if status.heart is None else asdict(status.heart),
        "images_per_second": None if pace is None else asdict(pace.recent)["images"],
        "images_per_second_overall": None if pace is None else pace.overall.images,
        "workers": None if pace is None else pace.workers,
        "worker_seconds": None if pace is None else pace.worker_seconds,
        "stages": None if pace is None else dict(pace.stages),
        "held_back_by": None if pace is None else pace.held_back_by,
        "spare": None if pace is None else pace.spare,
    }
    return json.dumps(found, ensure_ascii=False)


def _state(status: Status) -> str:
    heart = status.heart
    if status.finished:
        return "finished" if status.whole else "finished with less than was asked"
    if heart is None:
        return "not running; synthgen generate continues it"
    if heart.beats is None:
        waited = _duration(heart.silence)
        return f"held by {heart.driver}; no heartbeat in {waited} of waiting for one"
    if heart.beats:
        return f"running, by {heart.driver}"
    return f"not running, {heart.driver} is gone; synthgen generate continues it"


def _counts(status: Status) -> Iterator[str]:
    there = f"{status.rows} of {status.samples} samples ({status.rows / status.samples:.1%})"
    yield f"{there}, {status.whole_shards} of {status.shards} shards"
    if status.acceptance is not None:
        yield f"{status.attempts} images made, {status.acceptance:.1%} accepted"
    if status.rejected:
        yield describe_reasons(status.rejected)
    if unaccepted := status.rows - status.accepted:
        yield f"unaccepted: {unaccepted} samples hold the best of their attempts"
    if status.missing:
        yield f"missing: {status.missing} samples found no accepted image"
    for line in describe_short(status.short, status.lacking):
        yield f"  {line}"
    if status.errors:
        yield f"failed: {status.errors} samples raised; see reason 'error' in rejects"
    if len(status.hardware) > 1:
        yield f"made on: {', '.join(status.hardware)}"


def _pace(status: Status) -> Iterator[str]:
    pace = status.pace
    if pace is None or status.since_last is None:
        yield "speed: no shard is whole yet" if not status.attempts else "speed: not recorded"
        return
    workers = f"{pace.workers} worker{'s' if pace.workers > 1 else ''}"
    yield (
        f"speed: {pace.recent.images:.3g} images/s by {workers} over the last shards, "
        f"{pace.overall.images:.3g} over all"
    )
    yield describe_stages(pace)
    if (cost := status.cost_per_thousand) is not None:
        yield (
            f"cost: {cost:.4g} per thousand accepted images ({status.cost_per_hour:g} an hour, "
            f"{pace.worker_seconds / 3600:.3g} worker hours in whole shards)"
        )
    if not status.finished:
        yield f"last shard: {_duration(status.since_last)} ago"
    if (left := status.seconds_left) is not None:
        yield f"time left: {_duration(left)}"


def _duration(seconds: float) -> str:
    """Write a time in its two largest units."""
    whole = max(round(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86_400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
