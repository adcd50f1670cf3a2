"""What `synthgen evaluate fineface` is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.evaluation.painting_settings import PaintingSettings
from pipelines.evaluation.protocols import PAPER, Protocol
from synthgen.config import FineFaceConfig, FineFaceWeights


class FineFaceEvaluation(PaintingSettings):
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
            au_scale=self.au_scale if adapted else 0.0,
            **self.sampling(self.base),
        )

    def command(self) -> str:
        """Return the command that makes the document again, without where things are written."""
        return self.written("synthgen evaluate fineface")
