"""Our network is timm's, and our crop skimage's.

Both are installed beside the environment (`tests/oracle-requirements.txt`) and run in a process of
their own (`oracle.py`); without them these tests are skipped.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from smirk_files import write_smirk

from pipelines.smirk import SmirkEncoder, crop_face
from samplers.flame.expression import EXPRESSION, EYELIDS, JAW

ORACLE = Path(sys.prefix) / "oracle"
SCRIPT = Path(__file__).with_name("oracle.py")

pytestmark = pytest.mark.skipif(
    not ((ORACLE / "timm").is_dir() and (ORACLE / "skimage").is_dir()),
    reason="timm and skimage are not installed: see tests/oracle-requirements.txt",
)

# name → height and width of the picture, low and high corner of the landmarks [pixels]
CROPS = {
    "inside": ((300, 400), (120.3, 80.7), (260.1, 240.9)),
    "enlarged": ((80, 70), (20.5, 22.25), (48.75, 55.0)),
    "off the corner": ((200, 150), (-30.0, -12.5), (90.25, 110.0)),
    "larger than all": ((120, 160), (-200.0, -180.0), (340.0, 300.0)),
    "shrunk": ((1500, 1300), (200.2, 150.1), (1100.7, 1305.3)),
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """What timm and skimage give, in one process."""
    folder = tmp_path_factory.mktemp("oracle")
    rng = np.random.default_rng(5)
    np.save(folder / "images.npy", rng.random((3, 3, 224, 224), np.float32))
    crops = []
    for name, (size, low, high) in CROPS.items():
        coarse = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        np.save(folder / f"{name}.npy", coarse)
        inner = rng.uniform(low, high, (476, 2))
        np.save(folder / f"{name}-points.npy", np.vstack([low, high, inner]))
        parts = {"image": name, "landmarks": f"{name}-points", "out": f"{name}-out"}
        crops.append({key: str(folder / f"{part}.npy") for key, part in parts.items()})
    network = {
        "weights": str(write_smirk(folder / "SMIRK_em1.pt")),
        "images": str(folder / "images.npy"),
        "out": str(folder / "network.npz"),
    }
    (folder / "job.json").write_text(json.dumps({"network": network, "crops": crops}))
    environment = {**os.environ, "PYTHONPATH": str(ORACLE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder / "job.json")],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


def test_network_equals_that_of_timm(compared):
    encoder = SmirkEncoder.from_file(compared / "SMIRK_em1.pt")
    images = torch.from_numpy(np.load(compared / "images.npy"))
    theirs = np.load(compared / "network.npz")
    assert theirs["features"].shape == (3, 960, 7, 7)
    assert theirs["numbers"].std() > 0.1
    features, found = encoder.encoder(images).numpy(), encoder(images).numpy()
    assert np.abs(features - theirs["features"]).max() < 1e-5 * np.abs(theirs["features"]).max()
    wanted = theirs["numbers"]
    assert np.abs(found[:, EXPRESSION] - wanted[:, EXPRESSION]).max() < 1e-5
    assert np.abs(found[:, EYELIDS] - wanted[:, EYELIDS].clip(0, 1)).max() < 1e-5
    jaw = wanted[:, JAW]
    assert np.abs(found[:, JAW][:, 0] - np.maximum(jaw[:, 0], 0)).max() < 1e-5
    assert np.abs(found[:, JAW][:, 1:] - jaw[:, 1:].clip(-0.2, 0.2)).max() < 1e-5


@pytest.mark.parametrize("name", CROPS)
def test_crop_is_that_of_skimage_cut_off_to_bytes(compared, name):
    found = crop_face(np.load(compared / f"{name}.npy"), np.load(compared / f"{name}-points.npy"))
    theirs = np.load(compared / f"{name}-out.npy")
    assert theirs.max() > 100
    # A value that is whole but for the last bits may be cut off to either side.
    whole = np.abs(theirs - np.rint(theirs)) < 1e-9
    assert np.array_equal(found[~whole], theirs[~whole].astype(np.uint8))
    assert (np.rint(theirs[whole]) - found[whole] <= 1).all()
    assert (found[whole] <= np.rint(theirs[whole])).all()
