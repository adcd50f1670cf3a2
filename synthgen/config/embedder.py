"""Which face embedder is meant."""

from typing import Annotated, Literal

from pydantic import Field

from synthgen.config.base import Section
from synthgen.errors import ConfigError

INSIGHTFACE_MODEL = "buffalo_l"
"""Model pack that insightface takes by itself."""


class DrawnEmbedderConfig(Section):
    """The project's own small recogniser of drawn and mini faces."""

    kind: Literal["mini"] = Field(description="Drawn and mini faces.")
    weights: str = Field(
        default="mini",
        description="'mini' (embedded), or a file that `synthgen train face-embedder` wrote.",
    )


class InsightFaceConfig(Section):
    """insightface (extra 'faceid'): photographs and what looks like them."""

    kind: Literal["insightface"] = Field(description="Photographs (extra 'faceid').")
    model: str = Field(
        default=INSIGHTFACE_MODEL,
        min_length=1,
        description="Folder of ONNX files (detector and recogniser), or the name of a model pack, "
        "which insightface downloads.",
    )
    licence: str | None = Field(
        default=None,
        description="Licence of the models; null: that of insightface's own, which is for "
        "non-commercial research only.",
    )
    min_score: float = Field(
        default=0.5, ge=0, le=1, description="Detector score from which a find counts as a face."
    )


EmbedderConfig = Annotated[DrawnEmbedderConfig | InsightFaceConfig, Field(discriminator="kind")]


def embedder_config(
    kind: str, model: str | None = None, licence: str | None = None
) -> DrawnEmbedderConfig | InsightFaceConfig:
    """Say it in three words, as the command line does.

    Args:
        kind: `mini` or `insightface`.
        model: folder or name of insightface's models, or weight file; None: the usual one.
        licence: licence of insightface's models; None: their own.

    Raises:
        ConfigError: if a licence is given for `mini`, whose weight file says it.
    """
    if kind == "insightface":
        return InsightFaceConfig(
            kind="insightface", model=model or INSIGHTFACE_MODEL, licence=licence
        )
    if licence is not None:
        raise ConfigError(
            f"the licence {licence!r} is given for the embedder {kind!r}, whose weight file says "
            "its own"
        )
    return DrawnEmbedderConfig(kind="mini", weights=model or "mini")
