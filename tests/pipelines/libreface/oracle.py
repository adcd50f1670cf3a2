"""Run the real LibreFace package, in a process of its own: `python oracle.py JOB.json`.

Its torchvision is built for another torch than the one for the CPU, and breaks transformers where
it is installed beside it. So the package lies in a folder of its own (`oracle-requirements.txt`),
which only this process has on its path, and the operators that torchvision misses are declared
before it is imported. Nothing of the package is changed, but for `Image.ANTIALIAS`, which Pillow 10
removed: without it LibreFace cannot read large images at all; and timm builds its networks without
the ImageNet weights that a checkpoint then overwrites.

The job names files; results are written beside them:
    folder: where the package finds its weights and leaves what it writes.
    heads: {weights: combined_resnet.pt, crops: [PNG, ...], out: NPZ}
    expressions: {weights: repvgg.pt, crops: [PNG, ...], out: NPZ}
    squares: [{image: PNG, landmarks: NPY [72, 2] in the package's order, out: PNG}, ...]
    aligned: [{image: PNG, out: PNG}, ...]
    timed: {weights_folder: in the package's layout, images: [PNG, ...], out: JSON}
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from PIL import Image

Image.ANTIALIAS = Image.Resampling.LANCZOS
_operators = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    _operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def main(job: dict) -> None:
    """Do what the job asks for."""
    folder = Path(job["folder"])
    for square in job.get("squares", []):
        _square(**square)
    for aligned in job.get("aligned", []):
        _aligned(folder, **aligned)
    if heads := job.get("heads"):
        _heads(folder, **heads)
    if expressions := job.get("expressions"):
        _expressions(**expressions)
    if timed := job.get("timed"):
        _timed(folder, **timed)


def offer_imagenet_weights(folder: Path) -> None:
    """Put made ImageNet weights where torchvision looks before it downloads them."""
    from torchvision.models import ResNet18_Weights, resnet18

    os.environ["TORCH_HOME"] = str(folder / "torch")
    file = folder / "torch" / "hub" / "checkpoints" / Path(ResNet18_Weights.IMAGENET1K_V1.url).name
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(resnet18(weights=None).state_dict(), file)


def _heads(folder: Path, weights: str, crops: list[str], out: str) -> None:
    from libreface.AU_Recognition.solver_inference_combine import (
        solver_inference_image_task_combine,
    )

    offer_imagenet_weights(folder)
    options = SimpleNamespace(
        image_size=256,
        crop_size=224,
        device="cpu",
        au_recognition_num_labels=12,
        au_detection_num_labels=12,
        model_name="resnet",
        fm_distillation=False,
        dropout=0.1,
        ckpt_path=weights,
        weights_download_id="none: the file is there",
    )
    solver = solver_inference_image_task_combine(options).eval()
    intensities, detections = [], []
    for crop in crops:
        pixels = solver.read_and_transform_image(crop)
        intensities.append(solver.image_inference_au_recognition(pixels).numpy()[0])
        with torch.no_grad():
            detections.append(solver.model(pixels[None], task_name="au_detection").numpy()[0])
    np.savez(out, intensities=np.stack(intensities), detections=np.stack(detections))


def _expressions(weights: str, crops: list[str], out: str) -> None:
    import timm

    create = timm.create_model
    timm.create_model = lambda name, pretrained: create(name, pretrained=False)
    from libreface.Facial_Expression_Recognition.solver_inference_image import (
        solver_inference_image,
    )

    options = SimpleNamespace(
        image_size=224,
        device="cpu",
        num_labels=8,
        student_model_name="repvgg",
        fm_distillation=True,
        dropout=0.1,
        ckpt_path=weights,
        weights_download_id="none: the file is there",
    )
    solver = solver_inference_image(options).eval()
    scores = []
    for crop in crops:
        pixels = solver.read_and_transform_image(crop)
        with torch.no_grad():
            scores.append(solver.student_model(pixels[None])[0].numpy()[0])
    np.savez(out, scores=np.stack(scores), classes=[solver.run(crop) for crop in crops])


def _square(image: str, landmarks: str, out: str) -> None:
    from libreface.detect_mediapipe_image import image_align

    image_align(Image.open(image), np.load(landmarks)).save(out)


def _aligned(folder: Path, image: str, out: str) -> None:
    from libreface import get_aligned_image

    path, _, _ = get_aligned_image(image, temp_dir=str(folder / "aligned"))
    shutil.copy(path, out)


def _timed(folder: Path, weights_folder: str, images: list[str], out: str) -> None:
    from libreface import get_aligned_image, get_au_intensities_and_detect_aus

    torch.set_num_threads(1)
    offer_imagenet_weights(folder)
    seconds = []
    for image in images:
        started = time.perf_counter(), time.process_time()
        path, _, _ = get_aligned_image(image, temp_dir=str(folder / "timed"))
        get_au_intensities_and_detect_aus(path, weights_download_dir=weights_folder)
        seconds.append((time.perf_counter() - started[0], time.process_time() - started[1]))
    Path(out).write_text(json.dumps(seconds))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
