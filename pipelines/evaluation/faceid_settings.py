"""What `synthgen evaluate faceid` is told."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipelines.evaluation.painting_settings import PaintingSettings
from pipelines.fineface.weights import FACE_ADAPTER_FILE
from synthgen.config import FaceIdConfig, FaceIdWeights, FineFaceConfig, FineFaceWeights


class FaceIdEvaluation(PaintingSettings):
    """An evaluation; its document is a function of this and of the files that it names."""

    weights: str = Field(
        description="Face adapter: 'mini', or a folder that `synthgen train faceid` wrote."
    )
    base: str = Field(
        default="mini", description="Stable Diffusion base: 'mini', a folder, or a Hub id."
    )
    fineface: str = Field(default="mini", description="FineFace files: likewise.")
    embedder: str = Field(
        default="mini",
        description="Face embedder that the adapter was trained with: 'mini', or a file of "
        "`synthgen train face-embedder`.",
    )
    judge_embedder: Path = Field(
        description="Independent face embedder, which only judges: a file of `synthgen train "
        "face-embedder` with other seeds."
    )
    verifier: str = Field(
        default="mini", description="AU network that judges: 'mini', 'libreface', or a file."
    )
    people: int = Field(default=100, ge=2, le=100_000, description="Drawn people, never trained.")
    prompt_template: str = Field(
        default="a portrait of a person",
        min_length=1,
        description="Prompt of every image; slots in braces, such as {person} or {hair}, are "
        "filled with the drawn person's traits.",
    )
    noise: Literal["sample", "identity"] = Field(
        default="sample",
        description="Whose noise an image starts from: its own, or that of its person, which "
        "itself makes the images of a person alike.",
    )
    ip_scale: float = Field(default=1.0, description="Scale of the face branch.")

    def pipeline(self, ip_scale: float | None = None) -> FaceIdConfig:
        """Return the configuration of the model with its face adapter.

        Args:
            ip_scale: another scale of the face branch.
        """
        weights = FaceIdWeights(
            base=self.base,
            fineface=self.fineface,
            weight_prefix="",
            ip_adapter=self.weights,
            weight_name=FACE_ADAPTER_FILE,
        )
        return FaceIdConfig(
            name="fineface-faceid",
            weights=weights,
            au_scale=self.au_scale,
            ip_scale=self.ip_scale if ip_scale is None else ip_scale,
            **self.sampling(self.base),
        )

    def text_pipeline(self) -> FineFaceConfig:
        """Return the configuration of the same model without faces."""
        return FineFaceConfig(
            name="fineface",
            weights=FineFaceWeights(base=self.base, fineface=self.fineface),
            au_scale=self.au_scale,
            **self.sampling(self.base),
        )

    def command(self) -> str:
        """Return the command that makes the document again, without where things are written."""
        return self.written("synthgen evaluate faceid")
