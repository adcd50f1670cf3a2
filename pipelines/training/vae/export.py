"""What a finished VAE training leaves: the model, its latent scale, and how well AUs survive it."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor

from pipelines.training.data.examples import Examples
from pipelines.training.data.pixels import to_image, to_pixels
from pipelines.training.diffusion.part_names import MODEL_WEIGHTS
from pipelines.training.loop.card import write_card
from pipelines.weight_files import file_sha256

VAE = "vae"
_AT_ONCE = 16


def export_vae(
    vae: AutoencoderKL, folder: Path, held_out: Examples, faces: int, about: dict[str, Any]
) -> Path:
    """Write the VAE in half precision, with its scaling factor and a card.

    Args:
        vae: the trained VAE, in evaluation mode.
        folder: folder of the training; the VAE goes to `vae` in it.
        held_out: examples that it is measured on.
        faces: number of them.
        about: what the card says besides the measurements.

    Returns:
        The folder of the VAE.
    """
    images = [held_out.image(i) for i in range(faces)]
    latents, decoded = _through(vae, images)
    vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))
    path = folder / VAE
    _half(vae).save_pretrained(path)
    wanted = torch.stack([to_pixels(image) for image in images])
    error = (decoded - wanted).float()
    card = {
        **about,
        "file": MODEL_WEIGHTS,
        "sha256": file_sha256(path / MODEL_WEIGHTS),
        "scaling_factor": vae.config["scaling_factor"],
        "held_out": {
            "faces": faces,
            "absolute_error": float(error.abs().mean()),
            "psnr": float(10 * torch.log10(4 / error.square().mean())),
            "aus": aus_that_survive(images, decoded, held_out, faces),
        },
    }
    write_card(path / "card.json", card)
    return path


def aus_that_survive(
    images: list[Image], decoded: Float[Tensor, "n 3 h w"], held_out: Examples, faces: int
) -> dict[str, dict[str, float]]:
    """Compare the AUs that the embedded verifier reads from images and from what the VAE made."""
    from pipelines import LibreFaceVerifier
    from synthgen.action_units import AUS

    verifier = LibreFaceVerifier.from_pretrained("mini")
    before = verifier.measure(images).aus
    after = verifier.measure([to_image(pixels) for pixels in decoded]).aus
    drawn = np.stack([held_out.aus(i) for i in range(faces)])
    return {
        name: {
            "r_drawn": float(np.corrcoef(drawn[:, i], after[:, i])[0, 1]),
            "r_image": float(np.corrcoef(before[:, i], after[:, i])[0, 1]),
        }
        for i, name in enumerate(AUS)
    }


@torch.inference_mode()
def _through(
    vae: Any, images: list[Image]
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 3 H W"]]:
    latents, decoded = [], []
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE]
        pixels = torch.stack([to_pixels(image) for image in part]).to(vae.device)
        found = vae.encode(pixels).latent_dist.mode()
        latents.append(found.cpu())
        decoded.append(vae.decode(found).sample.cpu())
    return torch.cat(latents), torch.cat(decoded)


def _half(vae: AutoencoderKL) -> Any:
    copy: Any = AutoencoderKL.from_config(vae.config)
    copy.load_state_dict(vae.state_dict())
    return copy.to(torch.float16)
