"""Latents of images, made once and kept in files.

A VAE that does not change gives the same latents each time, so they are made before the first
step, in three files: latents, AUs, and what they were made of. What was begun goes on.
"""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL  # pyright: ignore[reportPrivateImportUsage]
from jaxtyping import Float
from tqdm import tqdm

from pipelines.training.data.examples import Examples
from pipelines.training.data.pixels import to_pixels
from pipelines.training.loop.whole_files import write_text_whole, writing
from synthgen.action_units import AU_COUNT
from synthgen.errors import OutputError, WeightsError

LATENTS, AUS, MADE_OF = "latents.npy", "aus.npy", "latents.json"

_AT_ONCE = 16
_NOTED_AFTER = 64 * _AT_ONCE


def make_latents(
    folder: Path, examples: Examples, count: int, vae: AutoencoderKL, made_of: dict[str, Any]
) -> None:
    """Make the latents and AUs of the first examples, or what is missing of them.

    Args:
        folder: folder of the files; made if missing.
        examples: images and AUs.
        count: number of examples.
        vae: the VAE, in evaluation mode.
        made_of: what the files are a function of; files of anything else are refused.

    Raises:
        OutputError: if the files cannot be written, or were made of something else.
        DatasetError: if an example cannot be read.
        WeightsError: if the VAE gives latents that are not finite.
    """
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    done = _done(folder, made_of)
    if done == count:
        return
    first = _encode(vae, examples, range(1))
    latents = _open(folder / LATENTS, np.float16, (count, *first.shape[1:]), done > 0)
    aus = _open(folder / AUS, np.float32, (count, AU_COUNT), done > 0)
    for start in tqdm(range(done, count, _AT_ONCE), desc="latents", unit="batch"):
        rows = range(start, min(start + _AT_ONCE, count))
        latents[rows.start : rows.stop] = _encode(vae, examples, rows)
        aus[rows.start : rows.stop] = np.stack([examples.aus(row) for row in rows])
        if rows.stop % _NOTED_AFTER == 0 or rows.stop == count:
            latents.flush()
            aus.flush()
            text = json.dumps({"made_of": made_of, "done": rows.stop})
            write_text_whole(folder / MADE_OF, text)


def _done(folder: Path, made_of: dict[str, Any]) -> int:
    path = folder / MADE_OF
    if not path.exists():
        return 0
    found = json.loads(path.read_text(encoding="utf-8"))
    if found["made_of"] != made_of:
        raise OutputError(
            f"{path} was made of {found['made_of']}, now it is {made_of}; train into another folder"
        )
    return int(found["done"])


def _open(path: Path, dtype: Any, shape: tuple[int, ...], begun: bool) -> np.memmap:
    if begun:
        return np.lib.format.open_memmap(path, "r+")
    with writing(path):
        try:
            made = np.lib.format.open_memmap(path, "w+", dtype, shape)
            _reserve(path)
        except OSError:
            path.unlink(missing_ok=True)
            raise
    return made


def _reserve(path: Path) -> None:
    """Take the space on the disk: a mapped file that finds none later would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


@torch.inference_mode()
def _encode(vae: AutoencoderKL, examples: Examples, rows: range) -> Float[np.ndarray, "B c h w"]:
    pixels = torch.stack([to_pixels(examples.image(row)) for row in rows])
    device = vae.device
    with torch.autocast(device.type, torch.bfloat16):
        posterior = vae.encode(pixels.to(device)).latent_dist  # pyright: ignore
    found = posterior.mode().float().cpu().numpy()
    if not np.isfinite(found).all():
        raise WeightsError(f"the VAE gives latents that are not finite for examples {rows}")
    return found.astype(np.float16)
