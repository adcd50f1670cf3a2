"""Run timm's network and skimage's warp, in a process of its own: `python oracle.py JOB.json`.

Both lie beside the environment (`tests/oracle-requirements.txt`); the operators that timm's
torchvision misses without a torch of its own are declared before it is imported.

The job names files; results are written beside them:
    network: {weights: SMIRK_em1.pt, images: NPY [b, 3, 224, 224], out: NPZ}
    crops: [{image: NPY uint8, landmarks: NPY [n, 2], out: NPY}, ...]
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

_operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def network(weights: str, images: str, out: str) -> None:
    """Evaluate the published layout by timm's MobileNetV3."""
    import timm

    tensors = torch.load(weights, weights_only=True)
    prefix = "smirk_encoder.expression_encoder."
    parts = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    backbone = timm.create_model(
        "tf_mobilenetv3_large_minimal_100", pretrained=False, features_only=True
    ).eval()
    head = "expression_layers.0."
    backbone.load_state_dict(
        {k.removeprefix("encoder."): v for k, v in parts.items() if not k.startswith(head)}
    )
    with torch.inference_mode():
        features = backbone(torch.from_numpy(np.load(images)))[-1]
        pooled = torch.nn.functional.adaptive_avg_pool2d(features, (1, 1)).flatten(1)
        numbers = pooled @ parts[f"{head}weight"].T + parts[f"{head}bias"]
    np.savez(out, features=features.numpy(), numbers=numbers.numpy())


def crop(image: str, landmarks: str, out: str) -> None:
    """Cut out a square of 1.4 times the mean side of the landmarks' box, by skimage."""
    from skimage.transform import estimate_transform, warp

    points = np.load(landmarks)
    low, high = points.min(axis=0), points.max(axis=0)
    side = int(1.4 * (high - low).mean())
    left, top = (low + high) / 2 - side / 2
    corners = np.array([[left, top], [left, top + side], [left + side, top]])
    square = np.array([[0, 0], [0, 223], [223, 0]])
    found = estimate_transform("similarity", corners, square)
    pixels = warp(np.load(image), found.inverse, output_shape=(224, 224), preserve_range=True)
    np.save(out, pixels)


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text())
    network(**job["network"])
    for each in job["crops"]:
        crop(**each)
