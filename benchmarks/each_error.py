"""Tell what a bound on each AU's error would keep of a dataset, and how many labels are wrong.

The rows of a dataset and its rejects hold what was asked for and what the run's verifier found in
each image; that is judged again, with other values of `max_each_error` and all else as in the run.
An image is *wrong* where the second judge, which shares nothing with the verifier, is off by more
than a limit in an AU asked for. The run's rows are those that its own policy kept, so only bounds
at least as strict can be told. The same expressions, drawn as asked, show how often the second
judge itself is off. Prints Markdown.

    python benchmarks/each_error.py out/mini-faces --judge out/judge/judge.safetensors
"""

import argparse
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from jaxtyping import Bool, Float
from PIL import Image

from pipelines.evaluation.judges import SecondJudge
from pipelines.libreface.check import judge
from pipelines.libreface.section import ActionUnitPolicy, LibreFaceCheck
from pipelines.pictures import to_rgb
from pipelines.procedural import random_identity, render
from synthgen.action_units import AU_COUNT, AUS, MAX_INTENSITY, MIN_INTENSITY
from synthgen.config.verify import VerifyConfig
from synthgen.dataset.run_record import read_record
from synthgen.dataset.storage import Storage

BOUNDS = (None, 2.0, 1.5, 1.0)
LIMIT = 1.5
BATCH = 64

_WHEN = ["attempt", "replacement"]


@dataclass(frozen=True)
class Images:
    """Images that a run made.

    Attributes:
        asked: AUs asked for [0–5], [images, aus].
        found: AUs that the verifier found [0–5], [images, aus]; NaN where it found no face.
        first: which were the first attempt of their sample.
        pixels: the images themselves; empty of rejects.
    """

    asked: Float[np.ndarray, "images aus"]
    found: Float[np.ndarray, "images aus"]
    first: Bool[np.ndarray, " images"]
    pixels: Sequence[Image.Image] = ()


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="What a bound on each AU's error keeps.")
    parser.add_argument("dataset", type=Path, help="folder of a run with the check libreface")
    parser.add_argument("--judge", type=Path, required=True, help="file of `synthgen train judge`")
    parser.add_argument(
        "--limit", type=float, default=LIMIT, help="error from which a row is wrong"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    policy = run_policy(options.dataset)
    rows, rejects = read(options.dataset / "data"), read(options.dataset / "rejects")
    second = SecondJudge.from_file(options.judge)
    drawn = [render(random_identity(seed), aus) for seed, aus in enumerate(rows.asked.tolist())]
    off, floor = (
        (errors(rows.asked, measured(second, pixels)) > options.limit).any(axis=1)
        for pixels in (rows.pixels, drawn)
    )
    print("\n".join(table(rows, rejects, policy, off, floor)))


def run_policy(dataset: Path) -> ActionUnitPolicy:
    """Return the policy on AUs that a run had."""
    said = read_record(Storage(str(dataset))).configuration
    verify = VerifyConfig.model_validate(said["verify"])
    checks = [check for check in verify.checks if isinstance(check, LibreFaceCheck)]
    if not checks or "action_units" in said["expressions"]:
        sys.exit(f"{dataset}: the check libreface and the AUs {', '.join(AUS)} are needed")
    return checks[0].policy


def read(folder: Path) -> Images:
    """Read what is in a dataset's folder `data` or `rejects`, file by file."""
    rows: list[dict[str, Any]] = []
    for file in sorted(folder.glob("*.parquet")):
        names = pq.read_schema(file).names
        columns = ["aus", "aus_measured", *_WHEN, *(["image"] if "image" in names else [])]
        rows += pq.read_table(file, columns=columns).to_pylist()
    nothing = [None] * AU_COUNT
    return Images(
        np.clip([row["aus"] for row in rows], MIN_INTENSITY, MAX_INTENSITY).reshape(-1, AU_COUNT),
        np.array([row["aus_measured"] or nothing for row in rows], float).reshape(-1, AU_COUNT),
        np.array([not any(row[key] for key in _WHEN) for row in rows], dtype=bool),
        [
            to_rgb(Image.open(io.BytesIO(row["image"]["bytes"])))
            for row in rows
            if row.get("image") is not None
        ],
    )


def measured(second: SecondJudge, pixels: Sequence[Image.Image]) -> Float[np.ndarray, "images aus"]:
    """Return the AUs that the second judge finds [0–5]."""
    parts = [second.measure(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)]
    return np.concatenate(parts)


def errors(
    asked: Float[np.ndarray, "images aus"], seen: Float[np.ndarray, "images aus"]
) -> Float[np.ndarray, "images aus"]:
    """Return |requested − measured| of the AUs asked for, 0 of the others."""
    return np.where(asked > 0, np.abs(asked - seen), 0.0)


def kept(images: Images, policy: ActionUnitPolicy) -> Bool[np.ndarray, " images"]:
    """Tell which images a policy keeps."""
    return np.array(
        [
            judge(asked, found, int(np.isfinite(found).all()), policy).accepted
            for asked, found in zip(images.asked, images.found, strict=True)
        ],
        dtype=bool,
    )


def table(
    rows: Images,
    rejects: Images,
    policy: ActionUnitPolicy,
    wrong: Bool[np.ndarray, " rows"],
    floor: Bool[np.ndarray, " rows"],
) -> list[str]:
    """Return the lines of the table.

    Args:
        rows: what the run kept.
        rejects: what it did not.
        policy: the run's own.
        wrong: rows that are wrong.
        floor: rows whose expression, drawn, the second judge reads as wrong.
    """
    lines = [
        "| `max_each_error` | first attempts kept | rows left | wrong | wrong if drawn |",
        "|---|---|---|---|---|",
    ]
    for bound in BOUNDS:
        strict = policy.model_copy(update={"max_each_error": bound})
        left, others = kept(rows, strict), kept(rejects, strict)
        first = np.concatenate([left[rows.first], others[rejects.first]])
        lines.append(
            f"| {'null' if bound is None else f'{bound:g}'} | {share(first)} | {left.sum()} "
            f"| {share(wrong[left])} | {share(floor[left])} |"
        )
    return lines


def share(which: Bool[np.ndarray, " images"]) -> str:
    """Return a count and its share, as `9 of 240 (3.8 %)`."""
    if not len(which):
        return "0 of 0"
    return f"{which.sum()} of {len(which)} ({100 * which.mean():.1f} %)"


if __name__ == "__main__":
    main()
