"""The section of the pipeline `arc2face`; loads no torch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.diffusion.section import (
    DiffusionSection,
    ImageKeys,
    Scale,
    Sha256,
    model_files,
    not_asked,
)
from samplers.spec import SampleSpec
from synthgen.config.base import Section, Weights
from synthgen.config.pipeline import BatchKeys
from synthgen.config.run import RunConfig
from synthgen.config.verify import ARC2FACE
from synthgen.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from pipelines.arc2face.source import Arc2FaceSource

PROMPT = "photo of a id person"
"""The one prompt that Arc2Face reads; the person stands in the place of "id"."""

NUM_INFERENCE_STEPS = 25
GUIDANCE_SCALE = 3.0

BASE = "stable-diffusion-v1-5/stable-diffusion-v1-5"

LCM: Mapping[str, int | float] = {"num_inference_steps": 4, "guidance_scale": 1.0}
"""Steps and guidance with LCM-LoRA."""


class Arc2FaceWeights(Section):
    """Weights: folders or Hub ids."""

    base: str = Field(
        default=BASE,
        description="Stable Diffusion 1.5 that gives VAE, tokenizer and sampler: Hub id or folder.",
    )
    revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Revision of the base on the Hub."
    )
    arc2face: str = Field(
        default=ARC2FACE,
        description="Arc2Face's UNet and text encoder (arc2face/, encoder/): Hub id or folder.",
    )
    arc2face_revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Its revision on the Hub."
    )
    expression: str = Field(
        default=ARC2FACE,
        description="Expression Adapter: Hub id or folder of exp_adapter.bin, which may lie in "
        "exp_adapter/; in a folder it may end in .safetensors.",
    )
    expression_revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Its revision on the Hub."
    )
    reference: str | None = Field(
        default=None,
        exclude_if=not_asked,
        description="Reference Adapter, for runs with identities.reference: Hub id or folder of "
        "pytorch_lora_weights.safetensors, which may lie in ref_adapter/.",
    )
    reference_revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Its revision on the Hub."
    )
    lcm_lora: str | None = Field(
        default=None,
        exclude_if=not_asked,
        description="LCM-LoRA for scheduler: lcm, such as latent-consistency/lcm-lora-sdv1-5: Hub "
        "id or folder of pytorch_lora_weights.safetensors.",
    )
    lcm_lora_revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Its revision on the Hub."
    )
    embedder: str | None = Field(
        default=None,
        min_length=1,
        exclude_if=not_asked,
        description="Fingerprint of Arc2Face's recogniser, as stores of faces carry it; null: the "
        "sha256 of arcface.onnx beside arc2face/, or what the card of a training says there.",
    )
    sha256: dict[str, Sha256] = Field(
        default={},
        exclude_if=not_asked,
        description="File → SHA-256 [64 hexadecimal digits] that it must have, by its name in the "
        "record of a run: expression/exp_adapter.bin. Others are not judged.",
    )


class _Arc2FaceKeys(BatchKeys):
    scheduler: Literal["dpmpp", "ddim", "base", "lcm"] = Field(
        default="dpmpp",
        description="Sampler: DPM-Solver++, DDIM, the one that the base comes with, or that of "
        "latent consistency, with weights.lcm_lora.",
    )
    num_inference_steps: int = Field(
        default=NUM_INFERENCE_STEPS,
        ge=1,
        le=1000,
        description="Denoising steps. Without it 4 for scheduler: lcm.",
    )
    guidance_scale: float = Field(
        default=GUIDANCE_SCALE,
        ge=0,
        le=1000,
        description="Guidance scale; at most 1 means none. Without it 1 for scheduler: lcm.",
    )
    expression_scale: Scale = Field(default=1.0, description="Scale of the Expression Adapter.")
    reference_scale: Scale = Field(
        default=0.8,
        description="Scale of the Reference Adapter's LoRA; at 0 the reference is still looked at.",
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_lcm(cls, value: object) -> object:
        if isinstance(value, Mapping) and value.get("scheduler") == "lcm":
            return {**LCM, **value}
        return value


class Arc2FaceConfig(DiffusionSection, ImageKeys, _Arc2FaceKeys):
    """People by ArcFace embeddings, expressions by FLAME (arXiv 2403.11641, 2510.04706)."""

    needs: ClassVar[frozenset[str]] = frozenset({"aus", "faceid", "flame"})
    takes: ClassVar[frozenset[str]] = frozenset({"reference"})
    sources: ClassVar[tuple[str, ...]] = (
        "base", "arc2face", "expression", "reference", "lcm_lora",
    )  # fmt: skip
    provenance: ClassVar[frozenset[str]] = frozenset({
        "revision", "arc2face_revision", "expression_revision", "reference_revision",
        "lcm_lora_revision", "embedder", "sha256",
    })  # fmt: skip

    name: Literal["arc2face"]  # pyright: ignore[reportIncompatibleVariableOverride]
    weights: Arc2FaceWeights = Field(
        default=Arc2FaceWeights(), description="Where the weights come from."
    )

    @model_validator(mode="after")
    def _lcm_has_its_lora(self) -> "Arc2FaceConfig":
        if (self.scheduler == "lcm") != (self.weights.lcm_lora is not None):
            there = "weights.lcm_lora" if self.weights.lcm_lora else "scheduler: lcm"
            lacking = "scheduler: lcm" if self.weights.lcm_lora else "weights.lcm_lora"
            raise ValueError(f"{there} needs {lacking}: the sampler and its LoRA go together")
        return self

    def load(self, device: str) -> "Arc2FaceSource":
        """Load Arc2Face with its adapters.

        Raises:
            WeightsError: if weights are missing, cannot be fetched, do not fit one another, or
                nothing says which recogniser they expect.
        """
        from pipelines.arc2face.source import Arc2FaceSource

        return Arc2FaceSource(self, device)

    @property
    def action_units(self) -> None:
        """None: it shows FLAME's numbers, whatever AUs they stand for."""
        return None

    def check(self, run: RunConfig) -> None:
        """Refuse references without their adapter, and a negative prompt that would be cut.

        The latter where the tokenizer is on this machine; elsewhere the worker that fetches it
        refuses it.

        Raises:
            ConfigError: if identities give references, and no adapter is named or images are not
                square.
            PromptError: if the text encoder would not see the end of the negative prompt.
            WeightsError: if the tokenizer cannot be read.
        """
        if "reference" in run.identities.given():
            self._check_references()
        from pipelines.arc2face.weights import locate_base

        try:
            base = locate_base(self.weights.base, revision=self.weights.revision, fetch=False)
        except WeightsError:
            return
        from pipelines.diffusion.prompts import load_tokenizer, refuse_long

        negative = run.identities.negative_prompt
        tokenizer = load_tokenizer(base / "tokenizer")
        refuse_long(tokenizer, [negative], "identities.negative_prompt", "refuse", " to that")

    def _check_references(self) -> None:
        if self.weights.reference is None:
            raise ConfigError(
                "identities give reference images, and pipeline.weights.reference names no "
                f"Reference Adapter to show them; set it, as to {ARC2FACE}"
            )
        if self.height != self.width:
            raise ConfigError(
                "identities give reference images, which are square; set pipeline.height and "
                "pipeline.width to one size, or leave both out"
            )

    def check_values(self, run: RunConfig) -> None:
        """Refuse slots, which rows would name: Arc2Face reads no prompt.

        Raises:
            ConfigError: if identities have slots.
        """
        if slots := list(run.identities.weighted_slots()):
            raise ConfigError(
                f"identities.slots has {', '.join(slots)}, which rows would name and the pipeline "
                f"'arc2face' does not show: it reads no prompt but {PROMPT!r}; leave the slots out"
            )

    def check_spec(self, spec: SampleSpec) -> None:
        """Refuse a person of another recogniser, where the weights are on this machine.

        Raises:
            FaceEmbeddingError: if that is so.
        """
        from pipelines.arc2face.weights import check_person, locate

        try:
            files = locate(self.weights, fetch=False)
        except WeightsError:  # for `find_weights` to tell
            return
        if spec.faceid is not None:
            check_person(spec.faceid, files.embedder)

    def doubts(self, run: RunConfig) -> list[str]:
        """Return a sentence for each prompt, adapter and scale that has no effect."""
        identities, found = run.identities, []
        if identities.template != PROMPT:
            found.append(
                f"identities.template: the pipeline 'arc2face' reads no prompt but {PROMPT!r}; "
                "rows name another"
            )
        if self.expression_scale <= 0:
            found.append(
                f"pipeline.expression_scale is {self.expression_scale:g}: images do not follow the "
                "expressions that their rows name"
            )
        if self.guidance_scale <= 1 and identities.negative_prompt:
            found.append(
                f"pipeline.guidance_scale is {self.guidance_scale:g}, which means no guidance: "
                "identities.negative_prompt has no effect"
            )
        if self.weights.reference is not None and "reference" not in identities.given():
            found.append(
                "pipeline.weights.reference names a Reference Adapter that nothing uses: "
                "identities give no reference images"
            )
        return found

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the base, Arc2Face and its adapters."""
        from pipelines.arc2face.weights import UNET, locate

        files = locate(self.weights, fetch=fetch)
        unet, vae = files.published / UNET, files.base / "vae"
        adapters = (files.expression, files.reference, files.lcm_lora)
        return self.described(
            {
                "revision": files.base,
                "arc2face_revision": files.published,
                "expression_revision": files.expression,
                "reference_revision": files.reference,
                "lcm_lora_revision": files.lcm_lora,
            },
            [*model_files([unet, vae]), files.encoder, *(path for path in adapters if path)],
            unet,
            vae,
            files.licences,
        )
