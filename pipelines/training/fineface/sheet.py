"""Paint with an adapter that is being trained, through the files that it will be."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

import tempfile
from pathlib import Path

import torch
from diffusers import DPMSolverMultistepScheduler
from PIL.Image import Image

from pipelines.checkpoints import SAFETENSORS_SUFFIX
from pipelines.fineface import AUAdapter, FineFacePipeline
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.fineface.models import no_progress_bars
from pipelines.training.data.pixels import sheet_of
from pipelines.training.fineface.config import FineFaceSheet


def paint_sheet(
    base: Path, adapter: AUAdapter, sheet: FineFaceSheet, device: torch.device, dtype: torch.dtype
) -> Image:
    """Paint each expression for each prompt; a column has one noise.

    Args:
        base: folder of the base.
        adapter: the adapter.
        sheet: what is painted.
        device: torch device.
        dtype: number format of the computation.
    """
    pipeline = _pipeline(base, adapter, dtype).to(device)
    rows = []
    for expression in sheet.expressions:
        generators = [torch.Generator().manual_seed(i) for i in range(len(sheet.prompts))]
        output = pipeline(
            list(sheet.prompts),
            expression,
            num_inference_steps=sheet.num_inference_steps,
            guidance_scale=sheet.guidance_scale,
            generator=generators,
            output_type="pt",
        )
        rows.append([2 * image.float().cpu() - 1 for image in output.images])  # pyright: ignore
    return sheet_of(rows)


def _pipeline(base: Path, adapter: AUAdapter, dtype: torch.dtype) -> FineFacePipeline:
    with no_progress_bars(), tempfile.TemporaryDirectory() as folder:
        pipeline = FineFacePipeline.from_pretrained(
            base,
            safety_checker=None,
            feature_extractor=None,
            image_encoder=None,
            requires_safety_checker=False,
            use_safetensors=True,
            dtype=dtype,
        )
        write_au_adapter(adapter, Path(folder), "", SAFETENSORS_SUFFIX)
        pipeline.load_au_adapter(folder)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(
        pipeline.scheduler.config, algorithm_type="dpmsolver++"
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
