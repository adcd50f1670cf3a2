"""Paint people with a face adapter that is being trained, through the file that it will be."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from jaxtyping import Float32
from PIL import Image as Images
from PIL.Image import Image

from pipelines.fineface import FineFaceIPAdapterPipeline
from pipelines.fineface.face_adapter import FaceAdapterFile, load_face_adapter, write_face_adapter
from pipelines.fineface.models import no_progress_bars
from pipelines.training.data.pixels import sheet_of, to_pixels
from pipelines.training.faceid.config import FaceIdSheet


def paint_people(
    base: Path,
    fineface: Path | None,
    adapter: FaceAdapterFile,
    portraits: Sequence[Image],
    faces: Float32[np.ndarray, "people 512"],
    sheet: FaceIdSheet,
    device: torch.device,
) -> Image:
    """Paint each expression of each person below the portrait that was embedded.

    Args:
        base: folder of the base.
        fineface: folder of the AU adapter; None: no expressions.
        adapter: the face adapter.
        portraits: the embedded portraits.
        faces: their embeddings.
        sheet: what is painted.
        device: torch device.
    """
    pipeline = _pipeline(base, fineface, adapter).to(device)
    side = pipeline.unet.config["sample_size"] * pipeline.vae_scale_factor
    rows = [[to_pixels(one.resize((side, side), Images.Resampling.BILINEAR)) for one in portraits]]
    for expression in sheet.expressions:
        output = pipeline(
            [sheet.prompt] * len(faces),
            expression if fineface is not None else None,
            faces,
            num_inference_steps=sheet.num_inference_steps,
            guidance_scale=sheet.guidance_scale,
            generator=[torch.Generator().manual_seed(i) for i in range(len(faces))],
            output_type="pt",
        )
        rows.append([2 * image.float().cpu() - 1 for image in output.images])  # pyright: ignore
    return sheet_of(rows)


def _pipeline(
    base: Path, fineface: Path | None, adapter: FaceAdapterFile
) -> FineFaceIPAdapterPipeline:
    with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
        pipeline = FineFaceIPAdapterPipeline.from_pretrained(
            base,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            use_safetensors=True,
            dtype=torch.float32,  # the face adapter's own, whatever the base's files hold
        )
        if fineface is not None:
            pipeline.load_au_adapter(fineface)
        write_face_adapter(Path(folder) / "ip_adapter.safetensors", adapter)
        load_face_adapter(pipeline, Path(folder) / "ip_adapter.safetensors")
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
