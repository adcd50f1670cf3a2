"""Pictures as a VAE makes them: what a diffusion model paints has always passed through its VAE.

A network that is to read painted faces, and never saw one, takes what the VAE blurs for what a face
shows. So a share of the pictures that it learns from is encoded, disturbed a little, and decoded.
"""

from typing import Any

import torch
from PIL.Image import Image
from pydantic import Field

from pipelines.fineface.weights import MINI
from pipelines.training.data.augmentation import to_image, to_pixels
from pipelines.training.diffusion.base import find_part, load_vae
from pipelines.training.diffusion.config import MODEL_WEIGHTS
from pipelines.weight_files import check_weight_file, file_sha256
from samplers.randomness import derive_seed, uniforms
from synthgen.config.base import Section


class DecodedPictures(Section):
    """A share of the drawn pictures, each passed through a VAE before it is learned."""

    vae: str = Field(
        default=MINI, description="Folder of a VAE, or 'mini', that of the embedded base."
    )
    share: float = Field(default=0.5, ge=0, le=1, description="Share of the pictures [0, 1].")
    latent_noise: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Noise on the latents that are decoded, up to this many of their standard "
        "deviations: what a UNet generates is not exact either.",
    )


class VAEPictures:
    """Passes pictures through a VAE, on the CPU, picture by picture.

    The VAE is loaded with the first picture, in whichever process draws.

    Args:
        config: which VAE, and how much.
        seed: seed of the training.
        stage: name of the purpose: what the numbers of pictures count.
        dtype: number format of the computation, float32 or bfloat16.
    """

    def __init__(self, config: DecodedPictures, seed: int, stage: str, dtype: str) -> None:
        self._config, self._seed, self._stage = config, seed, f"{stage}/decoded"
        self._dtype = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        self._vae: Any = None

    def shared(self, picture: Image, number: int) -> Image:
        """Return a picture, decoded if its number is one of the share.

        Args:
            picture: RGB, of sides that the VAE halves.
            number: number of the picture; whether and how it changes is a function of it.
        """
        draw = uniforms(self._seed, self._stage, number, number + 1, 1)[0, 0]
        return self.decoded(picture, number) if draw < self._config.share else picture

    @torch.inference_mode()
    def decoded(self, picture: Image, number: int) -> Image:
        """Return what the VAE makes of a picture, with noise that its number decides."""
        if self._vae is None:
            self._vae = load_vae(find_part(self._config.vae, "vae"), torch.device("cpu"))
        generator = torch.Generator().manual_seed(derive_seed(self._seed, self._stage, number))
        enabled = self._dtype != torch.float32
        with torch.autocast("cpu", self._dtype, enabled=enabled):
            latents = self._vae.encode(to_pixels(picture)[None]).latent_dist.mode()
            strength = self._config.latent_noise * torch.rand((), generator=generator)
            noise = torch.randn(latents.shape, generator=generator)
            made = self._vae.decode(latents + strength * latents.std() * noise).sample
        return to_image(made[0].float())


def decoding_facts(config: DecodedPictures | None) -> dict[str, Any]:
    """Return the checksum of the VAE's file, which weights are a function of; {} without one.

    Raises:
        WeightsError: if the file is missing.
    """
    if config is None:
        return {}
    file = find_part(config.vae, "vae") / MODEL_WEIGHTS
    check_weight_file(file, "VAE")
    return {"vae_sha256": file_sha256(file)}
