"""Time of our LibreFace check against the real package's own call, per image, in one run.

Theirs: the two calls by which `libreface==0.2.0` measures the AUs of an image file, alignment and
joint AU network (its expression and gaze networks are left out), all weights on disk. Ours: the
same images, weights and landmarks model in batches of 16, in memory. Both on one thread; the ratio
is of CPU time, which other work on the machine disturbs less than the time of day. The package must
lie beside the environment: see tests/oracle-requirements.txt.

    python benchmarks/libreface_check.py [--images 32] [--size 512]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL.Image import Image

from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import LibreFaceNetwork, save_network
from pipelines.procedural import random_identity, render

ORACLE = Path(sys.prefix) / "oracle"
SCRIPT = Path(__file__).parents[1] / "tests" / "pipelines" / "libreface" / "oracle.py"
BATCH = 16
BUDGET = 20
ROUNDS = 3


def main() -> None:
    """Print the milliseconds per image and the ratios."""
    parser = argparse.ArgumentParser(description="Our LibreFace check against the real package.")
    parser.add_argument("--images", type=int, default=32, help="images measured by each")
    parser.add_argument("--size", type=int, default=512, help="side of an image [pixels]")
    options = parser.parse_args()
    if not (ORACLE / "libreface").is_dir():
        sys.exit("libreface is not installed: see tests/oracle-requirements.txt")
    torch.set_num_threads(1)
    images = portraits(options.images, options.size)
    print(f"{len(images)} images of {options.size}×{options.size}, one thread, batches of {BATCH}")
    print(f"{'per image':40} {'wall':>10} {'CPU':>10} {'ratio':>8}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        large, small = make_weights(folder)
        wall, theirs = time_package(folder, large, images)
        print(f"{'libreface 0.2.0, its own call':40} {wall:7.1f} ms {theirs:7.1f} ms {1:7.1f}×")
        for label, weights, aligner, dtype in (
            ("mediapipe, LibreFace network", large, "mediapipe", torch.float32),
            ("centered, LibreFace network", large, "centered", torch.float32),
            ("centered, LibreFace network, bfloat16", large, "centered", torch.bfloat16),
            ("centered, mini network", small, "centered", torch.float32),
        ):
            wall, ours = time_verifier(weights, aligner, dtype, images)
            print(f"{label:40} {wall:7.1f} ms {ours:7.1f} ms {theirs / ours:7.1f}×")
    print(f"budget: {BUDGET}×")


def portraits(count: int, size: int) -> list[Image]:
    """Draw faces with random expressions."""
    rng = np.random.default_rng(0)
    return [
        render(random_identity(seed=seed), rng.uniform(0, 3, 12).tolist(), size)
        for seed in range(count)
    ]


def make_weights(folder: Path) -> tuple[Path, Path]:
    """Write random weights in the package's layout, and of our mini network's size."""
    torch.manual_seed(0)
    large = folder / "AU_Recognition" / "weights" / "combined_resnet.pt"
    large.parent.mkdir(parents=True)
    torch.save({"model": LibreFaceNetwork().state_dict()}, large)
    small = folder / "small.safetensors"
    save_network(LibreFaceNetwork(input_size=112), small)
    return large, small


def time_package(folder: Path, weights: Path, images: list[Image]) -> tuple[float, float]:
    """Return the package's median milliseconds per image: wall and CPU."""
    paths = [folder / f"{number}.png" for number in range(len(images))]
    for image, path in zip(images, paths, strict=True):
        image.save(path)
    out, job = folder / "seconds.json", folder / "job.json"
    timed = {
        "weights_folder": str(weights.parents[2]),
        "images": [str(path) for path in paths],
        "out": str(out),
    }
    job.write_text(json.dumps({"folder": str(folder), "timed": timed}))
    environment = {**os.environ, "PYTHONPATH": str(ORACLE), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, str(SCRIPT), str(job)], env=environment, check=True, capture_output=True
    )
    return median_milliseconds(json.loads(out.read_text()))


def time_verifier(
    weights: Path, aligner: str, dtype: torch.dtype, images: list[Image]
) -> tuple[float, float]:
    """Return our median milliseconds per image, wall and CPU, after a batch to warm up."""
    verifier = LibreFaceVerifier.from_pretrained(weights, aligner=aligner, dtype=dtype)
    batches = [images[start : start + BATCH] for start in range(0, len(images), BATCH)]
    verifier.measure(batches[0])
    seconds = []
    for batch in batches * ROUNDS:
        started = time.perf_counter(), time.process_time()
        verifier.measure(batch)
        spent = time.perf_counter() - started[0], time.process_time() - started[1]
        seconds.append([value / len(batch) for value in spent])
    return median_milliseconds(seconds)


def median_milliseconds(seconds: list[list[float]]) -> tuple[float, float]:
    """Return the medians of (wall, CPU) pairs."""
    wall, cpu = 1000 * np.median(np.array(seconds), axis=0)
    return float(wall), float(cpu)


if __name__ == "__main__":
    main()
