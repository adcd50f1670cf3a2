"""The section of the pipeline `fineface-baseline`; loads no torch."""

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.baselines.weights import Method
from pipelines.diffusion.section import (
    DiffusionSection,
    ImageKeys,
    SamplerKeys,
    Scale,
    Sha256,
    model_files,
    not_asked,
)
from pipelines.fineface.section import GUIDANCE_SCALE, BaseWeights
from synthgen.config.base import Weights
from synthgen.config.run import RunConfig
from synthgen.errors import WeightsError

if TYPE_CHECKING:
    from pipelines.baselines.source import BaselineSource


class BaselineWeights(BaseWeights):
    """Weights: Hub ids or folders; `mini` names the embedded base."""

    trained: str | None = Field(
        default=None,
        description="Folder or Hub id of what `synthgen train fineface` made by the method; null "
        "for words, which need no training.",
    )
    trained_revision: str | None = Field(
        default=None, exclude_if=not_asked, description="Its revision on the Hub."
    )
    lora_scale: Scale = Field(
        default=1.0,
        description="Scale of LoRAs, on top of the alpha/rank that their files may store.",
    )
    sha256: dict[str, Sha256] = Field(
        default={},
        exclude_if=not_asked,
        description="File → SHA-256 [64 hexadecimal digits] that it must have, by its name in the "
        "record of a run: trained/AU12.safetensors. Others are not judged.",
    )


class _BaselineKeys(SamplerKeys):
    guidance_scale: float = Field(
        default=GUIDANCE_SCALE,
        ge=0,
        le=1000,
        description="Guidance scale of the text; at most 1 means none.",
    )


class BaselineConfig(DiffusionSection, ImageKeys, _BaselineKeys):
    """Stable Diffusion told AUs as the baselines of FineFace's paper are (arXiv 2407.20175)."""

    sources: ClassVar[tuple[str, ...]] = ("base", "vae", "trained")
    provenance: ClassVar[frozenset[str]] = frozenset({"vae_revision", "trained_revision", "sha256"})

    name: Literal["fineface-baseline"]  # pyright: ignore[reportIncompatibleVariableOverride]
    method: Method = Field(
        description="How it is told AUs: 'words' in the prompt, by a base that learned nothing "
        "more; 'lora-t' and 'dreambooth' likewise, with a LoRA or a UNet that learned from such "
        "prompts; 'lora-au' by a LoRA for each AU, weighted by its intensity."
    )
    weights: BaselineWeights = Field(description="Where the weights come from.")

    @model_validator(mode="after")
    def _trained_where_it_learns(self) -> "BaselineConfig":
        trained = self.weights.trained
        if self.method == "words" and trained is not None:
            raise ValueError(
                f"method is 'words', which needs no training, and weights.trained is {trained!r}; "
                "leave it out, or set method to how it was trained"
            )
        if self.method != "words" and trained is None:
            raise ValueError(
                f"method is {self.method!r}, and weights.trained names nothing; set it to what "
                f"`synthgen train fineface` with method: {self.method} made"
            )
        return self

    def load(self, device: str) -> "BaselineSource":
        """Load Stable Diffusion with what was trained.

        Raises:
            WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
        """
        from pipelines.baselines.source import BaselineSource

        return BaselineSource(self, device)

    @property
    def action_units(self) -> frozenset[str] | None:
        """The AUs that it was told in training; any in words, or where it is not here."""
        from pipelines.baselines.weights import find_trained

        if self.weights.trained is None:
            return None
        try:
            trained = find_trained(self.method, self.weights, fetch=False)[1]
        except WeightsError:
            return None
        return frozenset(trained.action_units.names)

    def check(self, run: RunConfig) -> None:
        """Refuse prompts that would be cut even without AUs, where the tokenizer is here.

        Raises:
            PromptError: if the text encoder would not see the end of a prompt.
            WeightsError: if the tokenizer cannot be read.
        """
        from pipelines.baselines.weights import locate

        try:
            folders = locate(self.method, self.weights, fetch=False)
        except WeightsError:  # for `find_weights` to tell
            return
        from pipelines.diffusion.prompts import check_run_prompts, load_tokenizer

        check_run_prompts(load_tokenizer(folders.base / "tokenizer"), run.identities, "refuse")

    def doubts(self, run: RunConfig) -> list[str]:
        """Return a sentence for each scale and prompt that has no effect."""
        found = []
        if self.method == "lora-au" and self.weights.lora_scale <= 0:
            found.append(
                f"pipeline.weights.lora_scale is {self.weights.lora_scale:g}: images do not follow "
                "the AUs that their rows name"
            )
        if self.guidance_scale <= 1 and run.identities.negative_prompt:
            found.append(
                f"pipeline.guidance_scale is {self.guidance_scale:g}, which means no guidance: "
                "identities.negative_prompt has no effect"
            )
        return found

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the base and what was trained."""
        from pipelines.baselines.weights import UNET, locate
        from pipelines.fineface.weights import is_embedded

        folders = locate(self.method, self.weights, fetch=fetch)
        unet = folders.base / UNET
        own = [path for name, path in folders.used() if name.startswith("trained/")]
        loaded = [
            *model_files([unet, folders.base / "text_encoder", folders.vae_model]),
            *(path for path in own if path.suffix == ".safetensors"),
        ]
        found = self.described(
            {
                "revision": folders.base,
                "vae_revision": folders.vae,
                "trained_revision": folders.folder,
            },
            loaded,
            unet,
            folders.vae_model,
            folders.licences,
        )
        return replace(found, files=tuple(path for path in found.files if not is_embedded(path)))
