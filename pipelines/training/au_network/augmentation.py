"""Changes of a face before it is learned: shift, blur, grain, blocks, light.

They stand for what a diffusion model and its VAE do to a face.
"""

import io

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageEnhance, ImageFilter
from pydantic import Field

from synthgen.config.base import Section


class AugmentationConfig(Section):
    """Augmentation of a face before it is learned; each strength is drawn from 0 to its bound.

    How often is said by each cycle.
    """

    shift: float = Field(
        default=0.02, ge=0, le=0.2, description="Shift [share of the image's side]."
    )
    scale: float = Field(default=0.03, ge=0, le=0.5, description="Relative change of size.")
    rotation: float = Field(
        default=2.0, ge=0, le=45, description="Rotation in the image plane [degrees]."
    )
    blur: float = Field(
        default=0.8, ge=0, le=8, description="Gaussian blur, standard deviation [pixels]."
    )
    noise: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Gaussian noise, standard deviation [share of full scale].",
    )
    brightness: float = Field(
        default=0.15, ge=0, lt=1, description="Relative change of brightness."
    )
    contrast: float = Field(default=0.15, ge=0, lt=1, description="Relative change of contrast.")
    jpeg_quality: int = Field(
        default=55, ge=1, le=95, description="Lowest JPEG quality; the highest is 95."
    )


DRAWS = 16
"""Uniform numbers that `augment` takes."""

_CHANGES = 6
_BEST_JPEG = 95
_FULL_SCALE = 255.0


def augment(
    face: Image.Image,
    draws: Float[np.ndarray, " 16"],
    chance: float,
    bounds: AugmentationConfig,
) -> Image.Image:
    """Change a face.

    Args:
        face: RGB image.
        draws: uniform numbers in [0, 1): the image is a function of the face and of them.
        chance: chance of each change [0, 1].
        bounds: how strong the changes may be.
    """
    chosen = draws[:_CHANGES] < chance
    strength = draws[_CHANGES:]
    if chosen[0]:
        face = _moved(face, 2 * strength[:4] - 1, bounds)
    if chosen[1]:
        face = face.filter(ImageFilter.GaussianBlur(float(strength[4]) * bounds.blur))
    if chosen[2]:
        face = _scaled(ImageEnhance.Brightness(face), strength[5], bounds.brightness)
    if chosen[3]:
        face = _scaled(ImageEnhance.Contrast(face), strength[6], bounds.contrast)
    if chosen[4]:
        face = _grained(face, strength[7] * bounds.noise, strength[8])
    if chosen[5]:
        face = _compressed(face, strength[9], bounds.jpeg_quality)
    return face


def _moved(
    face: Image.Image, signed: Float[np.ndarray, " 4"], bounds: AugmentationConfig
) -> Image.Image:
    shift_x, shift_y = signed[:2] * bounds.shift * face.width
    zoom = 1 + signed[2] * bounds.scale
    angle = np.deg2rad(signed[3] * bounds.rotation)
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = face.width / 2, face.height / 2
    matrix = (
        cos, sin, x - cos * (x + shift_x) - sin * (y + shift_y),
        -sin, cos, y + sin * (x + shift_x) - cos * (y + shift_y),
    )  # fmt: skip
    corner = face.getpixel((0, 0))
    return face.transform(
        face.size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC, fillcolor=corner
    )


def _scaled(enhancer: ImageEnhance._Enhance, strength: float, bound: float) -> Image.Image:
    return enhancer.enhance(1 + bound * (2 * strength - 1))


def _grained(face: Image.Image, deviation: float, seed: float) -> Image.Image:
    generator = np.random.Generator(np.random.Philox(key=int(seed * 2**53)))
    pixels = np.asarray(face, dtype=np.float32)
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    grained = pixels + _FULL_SCALE * deviation * noise
    return Image.fromarray(grained.clip(0, _FULL_SCALE).round().astype(np.uint8))


def _compressed(face: Image.Image, strength: float, lowest: int) -> Image.Image:
    buffer = io.BytesIO()
    face.save(buffer, "JPEG", quality=round(_BEST_JPEG - strength * (_BEST_JPEG - lowest)))
    return Image.open(buffer).convert("RGB")
