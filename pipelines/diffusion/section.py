"""Shared by the sections of pipelines of Stable Diffusion; loads no torch."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.hub import commit_of, names_folder
from pipelines.weight_files import count_numbers, read_model_config
from synthgen.choices import NumberFormat, Scheduler
from synthgen.config.base import Section, Weights
from synthgen.config.pipeline import BatchKeys, PipelineSection
from synthgen.errors import WeightsError

LONGEST_SIDE = 4096
"""Pixels of an image's side; the bases were trained at 512 and 768."""

LATENT_CELL = 8
"""Pixels of an image along a side of one latent cell, for Stable Diffusion 1.x and 2.x."""

NUMBER_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number in a format."""

_MAPS = 4
"""Maps of the VAE's decoder that lie in memory at once."""

Scale = Annotated[float, Field(ge=-100, le=100)]
"""Scale of a branch of a denoising network."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def not_asked(value: object) -> bool:
    """Tell what stays out of a stored configuration: what says nothing."""
    return not value


class ImageKeys(BatchKeys):
    """The size of the images, and the numbers that they are computed with."""

    height: int | None = Field(
        default=None, ge=8, le=LONGEST_SIDE, multiple_of=8, description="Height [pixels]."
    )
    width: int | None = Field(
        default=None, ge=8, le=LONGEST_SIDE, multiple_of=8, description="Width [pixels]."
    )
    dtype: NumberFormat = Field(
        default="float32", description="Number format of the weights and of the computation."
    )


class SamplerKeys(BatchKeys):
    """The sampler and its steps."""

    scheduler: Scheduler = Field(
        default="dpmpp",
        description="Sampler: DPM-Solver++, DDIM, or the one that the base comes with.",
    )
    num_inference_steps: int = Field(default=25, ge=1, le=1000, description="Denoising steps.")


Block = Literal["down", "mid", "up"]
"""Part of a UNet: on the way to its coarsest cells, there, or on the way back."""

_BLOCKS: tuple[Block, ...] = ("down", "mid", "up")


class SharedAttentionKeys(Section):
    """Attention of the images of an identity to its neutral image."""

    scale: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="Weight (0, 1] of attention with the neutral image against that without it; "
        "below 1 both are computed.",
    )
    start: float = Field(
        default=0.0, ge=0, lt=1, description="Share of the denoising steps before it begins."
    )
    end: float = Field(
        default=1.0, gt=0, le=1, description="Share of the denoising steps after which it ends."
    )
    blocks: list[Block] = Field(
        default=list(_BLOCKS),
        min_length=1,
        max_length=len(_BLOCKS),
        description="Parts of the UNet whose self-attention is shared.",
    )

    @model_validator(mode="after")
    def _begins_before_it_ends(self) -> "SharedAttentionKeys":
        if self.start >= self.end:
            raise ValueError(f"start is {self.start:g}; it must be below end, {self.end:g}")
        if len(set(self.blocks)) < len(self.blocks):
            raise ValueError(f"blocks names a part twice: {', '.join(self.blocks)}")
        return self

    def passes(self, total: int) -> tuple[int, int]:
        """Return the first pass of the UNet that is shared, and the one after the last.

        Args:
            total: passes of an image: the steps of most samplers.
        """
        return round(self.start * total), round(self.end * total)


def seen_numbers(unet: Path) -> dict[Block, int]:
    """Return how many numbers the self-attention in each part of a UNet sees of one image.

    Args:
        unet: folder of a UNet of Stable Diffusion; the size of the image is the UNet's own.

    Raises:
        WeightsError: if its configuration does not say what it is made of.
    """
    widths, side, layers = (
        _setting(unet, key) for key in ("block_out_channels", "sample_size", "layers_per_block")
    )
    deepest = len(widths) - 1
    numbers: dict[Block, int] = {"down": 0, "mid": (side >> deepest) ** 2 * widths[deepest]}
    parts: tuple[tuple[Block, range, int], ...] = (
        ("down", range(deepest + 1), layers),
        ("up", range(deepest, -1, -1), layers + 1),
    )
    for part, levels, count in parts:
        kinds = zip(levels, _setting(unet, f"{part}_block_types"), strict=True)
        numbers[part] = sum(
            count * (side >> level) ** 2 * widths[level]
            for level, kind in kinds
            if str(kind).startswith("CrossAttn")
        )
    return numbers


class DiffusionSection(PipelineSection, ImageKeys):
    """Base of the sections of pipelines of Stable Diffusion."""

    provenance: ClassVar[frozenset[str]] = frozenset()
    """Keys of `pipeline.weights` that say which files are meant, and change none of them: their own
    checksums are in the identity of the data."""

    sources: ClassVar[tuple[str, ...]] = ()
    """Keys of `pipeline.weights` that name folders or Hub ids."""

    weights: Any

    def identity(self) -> dict[str, Any]:
        """Return the keys that the data is a function of: not which weight files are meant."""
        keys = super().identity()
        if isinstance(keys["weights"], dict):
            keys["weights"] = {
                key: value for key, value in keys["weights"].items() if key not in self.provenance
            }
        return keys

    def local_paths(self) -> list[str]:
        """Return the folders of weights, where they are not on the Hub or embedded."""
        if self.weights == "mini":
            return []
        named = [getattr(self.weights, key, None) for key in self.sources]
        return [path for path in named if path not in (None, "mini") and names_folder(path)]

    @property
    def number_format(self) -> str:
        """The number format of the weights and of the computation."""
        return self.dtype

    def image_size(self, weights: Weights) -> tuple[int, int] | None:
        """Return height and width [pixels]: the configured ones, or the base's own."""
        own = self._own_side(weights)
        height, width = self.height or own, self.width or own
        return (height, width) if height and width else None

    def _own_side(self, weights: Weights) -> int | None:
        """Return the side of an image as the base was trained [pixels]; None: not known."""
        cells = weights.facts.get("sample_size")
        return cells and cells * LATENT_CELL

    def working_memory(self, weights: Weights) -> int:
        """Return what an image takes in the VAE's decoder, where a batch needs most [bytes].

        In its last block, at full size, up to four maps lie in memory at once, as wide as the block
        before. Measured with torch's memory profiler: 4.0 maps with Stable Diffusion's VAE, 3.0
        with that of the embedded weights. The UNet, on cells of 8×8 pixels, needs a fraction of it.
        """
        if (size := self.image_size(weights)) is None:
            return 0
        channels = weights.facts.get("decoder_channels", 0)
        return size[0] * size[1] * _MAPS * channels * NUMBER_BYTES[self.dtype]

    def described(
        self,
        parts: Mapping[str, Path | None],
        loaded: Iterable[Path],
        unet: Path,
        vae: Path,
        licences: Mapping[str, str],
    ) -> Weights:
        """Describe files that are there; sizes come from their headers.

        Args:
            parts: key of `pipeline.weights` that holds a revision → the files that are meant by
                it; None where there are none.
            loaded: the weight files that are loaded.
            unet: folder of the UNet.
            vae: folder of the VAE.
            licences: what is used → its licence.

        Raises:
            WeightsError: if one of the files cannot be read.
        """
        used = {key: path for key, path in parts.items() if path is not None}
        commits = {key: commit_of(path) for key, path in used.items()}
        return Weights(
            files=tuple(used.values()),
            bytes=sum(count_numbers(path) for path in loaded) * NUMBER_BYTES[self.dtype],
            licences=licences,
            pins={
                f"pipeline.weights.{key}": commit
                for key, commit in commits.items()
                if commit is not None and getattr(self.weights, key, None) != commit
            },
            facts={
                "decoder_channels": _decoder_channels(vae),
                "sample_size": _setting(unet, "sample_size"),
            },
        )


def model_files(folders: Iterable[Path]) -> list[Path]:
    """Return the safetensors files of models."""
    return [file for folder in folders for file in sorted(folder.glob("*.safetensors"))]


def _decoder_channels(vae: Path) -> int:
    """Return the channels of the VAE's second block, which decide its working memory."""
    widths = _setting(vae, "block_out_channels")
    if not isinstance(widths, list) or not all(type(width) is int for width in widths[:2]):
        raise WeightsError(f"{vae / 'config.json'}: block_out_channels must be a list of numbers")
    return widths[min(1, len(widths) - 1)] if widths else 0


def _setting(model: Path, key: str) -> Any:
    path = model / "config.json"
    config = read_model_config(path)
    if key not in config:
        raise WeightsError(f"model configuration {path} does not say {key}")
    return config[key]
