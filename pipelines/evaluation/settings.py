"""What `synthgen evaluate fineface` is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.evaluation.protocols import PAPER, Protocol
from synthgen.config import FineFaceConfig, FineFaceWeights
from synthgen.config.base import Section
from synthgen.config.pipeline import GUIDANCE_SCALE, MINI_GUIDANCE_SCALE


class FineFaceEvaluation(Section):
    """An evaluation; its document is a function of this and of the files that it names."""

    weights: str = Field(description="FineFace files: 'mini', a folder, or a Hub id.")
    base: str = Field(default="mini", description="Stable Diffusion base: likewise.")
    verifier: str = Field(
        default="mini", description="AU network that judges: 'mini', 'libreface', or a file."
    )
    judge: Path | None = Field(
        default=None, description="Second judge, a file of `synthgen train judge`; it reads traits."
    )
    protocol: Literal["small", "paper"] = Field(
        default="small",
        description="paper: 15 prompts with 12 AUs at 5 intensities and the 50 combinations of the "
        "prior grid; small: as prompts and combinations say, from the prior emotions.",
    )
    prompts: int = Field(default=40, ge=2, le=150, description="Prompts of the model itself.")
    combinations: int = Field(default=10, ge=1, le=1000, description="Combinations a prompt.")
    row_prompts: int = Field(
        default=8,
        ge=0,
        le=150,
        description="Prompts of the text baseline and of each trained encoder; 0: leave them out.",
    )
    encoders: Path | None = Field(
        default=None,
        description="Folder of adapters that `synthgen train fineface` made, a folder each.",
    )
    scheduler: Literal["dpmpp", "ddim", "base"] = Field(default="dpmpp", description="Sampler.")
    steps: int = Field(default=20, ge=1, le=1000, description="Denoising steps.")
    guidance: float | None = Field(
        default=None,
        ge=0,
        description="Guidance scale; null: 2 for the embedded base, 7.5 for others.",
    )
    au_scale: float = Field(default=1.0, description="Scale of the AU branch.")
    batch_size: int = Field(default=16, ge=1, le=4096, description="Images painted at once.")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="Number format of the models."
    )
    threads: int = Field(default=1, ge=1, le=1024, description="CPU threads.")
    seed: int = Field(default=0, ge=0, lt=2**63, description="Seed of prompts and noise.")

    def asked(self) -> Protocol:
        """Return what is asked of the model itself."""
        if self.protocol == "paper":
            return PAPER
        return Protocol(prompts=self.prompts, combinations=self.combinations)

    def asked_of_rows(self) -> Protocol:
        """Return what is asked of the text baseline and of each trained encoder."""
        return Protocol(
            prompts=min(self.row_prompts, self.asked().prompts), combinations=self.combinations
        )

    def pipeline(self, fineface: str | None = None, adapted: bool = True) -> FineFaceConfig:
        """Return the configuration of the model.

        Args:
            fineface: other FineFace files than `weights`.
            adapted: False: the base alone, without LoRA and AU branch.
        """
        return FineFaceConfig(
            name="fineface",
            weights=FineFaceWeights(
                base=self.base,
                fineface=self.weights if fineface is None else fineface,
                lora_scale=1.0 if adapted else 0.0,
            ),
            scheduler=self.scheduler,
            num_inference_steps=self.steps,
            guidance_scale=self._guidance_scale(),
            au_scale=self.au_scale if adapted else 0.0,
            batch_size=self.batch_size,
            threads=self.threads,
            dtype=self.dtype,
        )

    def _guidance_scale(self) -> float:
        if self.guidance is not None:
            return self.guidance
        return MINI_GUIDANCE_SCALE if self.base == "mini" else GUIDANCE_SCALE

    def command(self) -> str:
        """Return the command that makes the document again, without where things are written."""
        words = ["synthgen evaluate fineface"]
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value != field.default:
                words.append(f"--{name.replace('_', '-')} {_written(value)}")
        return " ".join(words)


def _written(value: object) -> str:
    return value.name if isinstance(value, Path) else str(value)
