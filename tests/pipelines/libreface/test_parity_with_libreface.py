"""Our network and our crop are those of the real package, `libreface==0.2.0`.

The package is installed beside the environment (`tests/oracle-requirements.txt`) and run in a
process of its own (`oracle.py`); without it these tests are skipped.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.alignment import (
    LIPS,
    MESH_EYE_LEFT,
    MESH_EYE_RIGHT,
    MediaPipeAligner,
    cut_square,
    landmark_square,
)
from pipelines.libreface.expression import (
    ExpressionCheck,
    ExpressionNetwork,
    expression_pixels,
    load_expression,
)
from pipelines.libreface.network import LibreFaceNetwork, face_pixels, load_network
from pipelines.procedural import random_identity, render
from synthgen.action_units import DEFAULT_AUS
from synthgen.report.pictures import one_sample

ORACLE = Path(sys.prefix) / "oracle"
SCRIPT = Path(__file__).with_name("oracle.py")
LANDMARKS = (*MESH_EYE_RIGHT, *MESH_EYE_LEFT, *LIPS)  # in the package's order

pytestmark = pytest.mark.skipif(
    not ((ORACLE / "libreface").is_dir() and (ORACLE / "timm").is_dir()),
    reason="libreface is not installed: see tests/oracle-requirements.txt",
)

# name → image size, centre of the face, eye distance [pixels], turn [degrees]
SQUARES = {
    "inside": ((640, 640), (320, 300), 90, 0),
    "small": ((128, 128), (64, 56), 29, 4),
    "tiny": ((48, 40), (24, 18), 10, -7),
    "left edge": ((300, 260), (20, 120), 60, 0),
    "corner": ((300, 260), (290, 250), 60, 20),
    "fills all": ((256, 256), (128, 110), 110, -10),
    "large": ((1800, 1500), (900, 700), 300, 12),
    "large and off-centre": ((2400, 2000), (2100, 300), 420, -25),
    "three to one": ((1801, 1777), (880, 800), 400, 3),
}

PORTRAITS = ("face 256", "face 512", "face 1024", "face at the edge")


def run_oracle(folder, **job):
    file = folder / "job.json"
    file.write_text(json.dumps({"folder": str(folder), **job}))
    environment = {**os.environ, "PYTHONPATH": str(ORACLE), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(file)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


def made_network():
    """Random weights with batch statistics that are not those of a fresh network."""
    torch.manual_seed(3)
    network = LibreFaceNetwork()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.2)
            elif ".4.weight" in name and value.dim() == 2:
                value.normal_(0, 0.5)
    return network


def made_expression_network():
    """The expression network with random weights that tell pictures apart."""
    torch.manual_seed(4)
    network = ExpressionNetwork()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.2)
        network.classifier[4].weight.normal_(0, 0.5)
    return network


def texture(size, seed):
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    fine = rng.integers(-20, 21, (size[1], size[0], 3))
    pixels = np.asarray(coarse.resize(size, Image.Resampling.BICUBIC), np.int64) + fine
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def landmarks(size, centre, eyes, turn, seed):
    """478 points, of which those that matter lie as in a face."""
    rng = np.random.default_rng(seed)
    place = np.zeros((478, 2))
    place[list(MESH_EYE_LEFT)] = (-0.5, 0)
    place[list(MESH_EYE_RIGHT)] = (0.5, 0)
    place[list(LIPS)] = (0, 1.1)
    place += rng.normal(0, 0.08, place.shape)
    angle = np.deg2rad(turn)
    turned = place @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return (np.array(centre) + eyes * turned) / size


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Everything that the real package is asked for, in one process."""
    folder = tmp_path_factory.mktemp("oracle")
    squares, aligned = [], []
    for seed, (name, (size, *place)) in enumerate(SQUARES.items()):
        texture(size, seed).save(folder / f"{name}.png")
        points = landmarks(size, *place, seed)
        np.save(folder / f"{name}.npy", points)
        np.save(folder / f"{name}-72.npy", points[list(LANDMARKS)])
        files = {"image": f"{name}.png", "landmarks": f"{name}-72.npy", "out": f"{name}-out.png"}
        squares.append({key: str(folder / file) for key, file in files.items()})
    for name, image in portraits().items():
        image.save(folder / f"{name}.png")
        files = {"image": f"{name}.png", "out": f"{name}-out.png"}
        aligned.append({key: str(folder / file) for key, file in files.items()})
    crops = [texture((512, 512), seed) for seed in range(3)]
    for number, crop in enumerate(crops):
        crop.save(folder / f"crop-{number}.png")
    torch.save({"model": made_network().state_dict()}, folder / "combined_resnet.pt")
    heads = {
        "weights": str(folder / "combined_resnet.pt"),
        "crops": [
            *(str(folder / f"crop-{number}.png") for number in range(3)),
            *(str(folder / f"{name}-out.png") for name in PORTRAITS),
        ],
        "out": str(folder / "heads.npz"),
    }
    torch.save({"model": made_expression_network().state_dict()}, folder / "repvgg.pt")
    expressions = {
        "weights": str(folder / "repvgg.pt"),
        "crops": heads["crops"],
        "out": str(folder / "expressions.npz"),
    }
    run_oracle(folder, heads=heads, expressions=expressions, squares=squares, aligned=aligned)
    return folder


def portraits():
    """Drawn faces of several sizes, one of them near the edge of a wider picture."""
    aus = (0.0,) * 12
    faces = {
        f"face {size}": render(random_identity(seed=5), aus, size) for size in (256, 512, 1024)
    }
    wide = Image.new("RGB", (900, 500), (90, 120, 150))
    wide.paste(render(random_identity(seed=8), aus, 400), (-40, -30))
    return {**faces, "face at the edge": wide}


def test_network_equals_the_package(compared):
    network = load_network(compared / "combined_resnet.pt")
    crops = [Image.open(compared / f"crop-{number}.png") for number in range(3)]
    with torch.inference_mode():
        pixels = face_pixels(crops)
        intensities = network(pixels).numpy()
        detections = network.heads(pixels)[1].numpy()
    theirs = np.load(compared / "heads.npz")
    assert theirs["intensities"].std() > 0.1
    assert np.abs(intensities - theirs["intensities"][:3]).max() < 1e-4
    assert np.abs(detections - theirs["detections"][:3]).max() < 1e-4


def test_expressions_are_those_of_the_package(compared):
    crops = [*(compared / f"crop-{number}.png" for number in range(3))]
    network = load_expression(compared / "repvgg.pt")
    with torch.inference_mode():
        scores = network(expression_pixels([Image.open(crop) for crop in crops])).numpy()
    theirs = np.load(compared / "expressions.npz")
    assert theirs["scores"].std() > 0.02
    assert np.abs(scores - theirs["scores"][:3]).max() < 1e-4
    check = ExpressionCheck.from_pretrained(str(compared / "repvgg.pt"), "mediapipe")
    pictures = [Image.open(compared / f"{name}.png") for name in PORTRAITS]
    rows = check.measure(pictures, [one_sample("", (0.0,) * 12, 0, DEFAULT_AUS)] * len(pictures))
    assert [row["libreface_expression"] for row in rows] == theirs["classes"][3:].tolist()
    found = np.array([row["libreface_expression_scores"] for row in rows])
    assert np.abs(found - theirs["scores"][3:]).max() < 1e-4


def test_verifier_measures_images_as_the_package_does(compared):
    verifier = LibreFaceVerifier.from_pretrained(compared / "combined_resnet.pt", "mediapipe")
    found = verifier.measure([Image.open(compared / f"{name}.png") for name in PORTRAITS])
    theirs = np.load(compared / "heads.npz")
    assert found.faces.tolist() == [1] * len(PORTRAITS)
    assert np.abs(found.aus - theirs["intensities"][3:]).max() < 1e-4
    chances = verifier.occurrences([Image.open(compared / f"{name}.png") for name in PORTRAITS])
    assert np.abs(chances - theirs["detections"][3:]).max() < 1e-4


@pytest.mark.parametrize("name", SQUARES)
def test_crop_equals_the_package_on_the_same_landmarks(compared, name):
    image = Image.open(compared / f"{name}.png")
    points = (np.load(compared / f"{name}.npy") * image.size).T
    crop = cut_square(image, landmark_square(points))
    assert crop.size == (512, 512)
    assert np.array_equal(crop, Image.open(compared / f"{name}-out.png"))


@pytest.mark.parametrize("name", PORTRAITS)
def test_mediapipe_aligner_equals_the_package(compared, name):
    alignment = MediaPipeAligner().align(Image.open(compared / f"{name}.png"))
    assert alignment.faces == 1
    assert np.array_equal(alignment.crop, Image.open(compared / f"{name}-out.png"))
