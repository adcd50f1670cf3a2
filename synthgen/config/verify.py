"""Section `verify`: how images are measured, which are kept, and the face embedder."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from synthgen.action_units import AUS, check_facs
from synthgen.config.base import Section
from synthgen.config.identities.base import absolute_store
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


_Bound = Annotated[float, Field(ge=0)]
_Cosine = Annotated[float, Field(ge=-1, le=1)]


def _not_asked(value: object) -> bool:
    """Tell what stays out of a stored configuration: older ones do not know it."""
    return value is None


class PolicyConfig(Section):
    """Bounds that an image must keep. Requests are clipped to [0, 5] before they are compared."""

    max_active_error: _Bound = Field(
        default=1.0,
        description="Largest mean |requested − measured| over the AUs asked for [intensity].",
    )
    max_inactive: _Bound = Field(
        default=1.0, description="Largest measured intensity among the AUs not asked for."
    )
    min_active: _Bound | None = Field(
        default=0.5,
        description="An AU asked for at 1 or more must be measured at least at this intensity, "
        "so that one expression does not pass for another that has an AU less; null = not judged.",
    )
    per_au_tolerance: dict[str, _Bound | None] = Field(
        default={},
        description="AU → largest |requested − measured|, instead of the bounds above; "
        "null = this AU is not judged.",
    )
    min_identity_similarity: _Cosine | None = Field(
        default=None,
        exclude_if=_not_asked,
        description="Least cosine [-1, 1] between the embedding of the image and that of the "
        "person asked for; null = not judged. Needs verify.identity.",
    )
    max_similarity_to_forbidden: _Cosine | None = Field(
        default=None,
        exclude_if=_not_asked,
        description="Largest cosine [-1, 1] between the embedding of the image and any of the "
        "store verify.identity.forbidden; null = not judged.",
    )

    @field_validator("per_au_tolerance")
    @classmethod
    def _aus_exist(cls, value: dict[str, float | None]) -> dict[str, float | None]:
        for name in value:
            check_facs(name)
        return value


class IdentityCheckConfig(Section):
    """Check that an image shows the person asked for."""

    embedder: EmbedderConfig = Field(
        description="What embeds the faces of images; best not the one that conditions them."
    )
    wanted: str | None = Field(
        default=None,
        description="Store of the people of identities.store by this embedder, under the same "
        "identity_id; null: the embeddings that the pipeline is given.",
    )
    forbidden: str | None = Field(
        default=None,
        description="Store of people by this embedder whom no image may show, such as those whom "
        "a model was trained on.",
    )

    def with_absolute_stores(self) -> Self:
        """Return the section with paths that do not depend on the working folder."""
        paths = {key: getattr(self, key) for key in ("wanted", "forbidden")}
        absolute = {key: absolute_store(path) for key, path in paths.items() if path}
        return self.model_copy(update=absolute)


class VerifyConfig(Section):
    """Measuring of the AUs of images, and treatment of those that miss the policy."""

    verifier: Literal["libreface"] = Field(
        default="libreface", description="What measures the AUs."
    )
    weights: str = Field(
        default="mini",
        description="'mini' (embedded), 'libreface' (published, non-commercial licence; see "
        "`synthgen weights fetch`), or a file or folder in LibreFace's or in our own format.",
    )
    aligner: Literal["centered", "mediapipe"] = Field(
        default="mediapipe",
        description="'centered': the face stands where procedural and mini faces stand; "
        "'mediapipe': found by FaceMesh (extra 'alignment').",
    )
    identity: IdentityCheckConfig | None = Field(
        default=None,
        exclude_if=_not_asked,
        description="Whether images show whom they were asked to; null = not measured.",
    )
    policy: PolicyConfig = Field(default=PolicyConfig(), description="Bounds an image must keep.")
    max_attempts: int = Field(
        default=4,
        ge=1,
        le=1000,
        description="Images made for one spec before it counts as exhausted.",
    )
    on_exhausted: Literal["replace", "drop", "keep_best", "fail"] = Field(
        default="replace",
        description="'replace': another spec of the same stratum; 'drop': the sample is missing; "
        "'keep_best': the nearest image is kept with accepted=false; 'fail': the run ends.",
    )
    max_replacements: int = Field(
        default=10,
        ge=0,
        le=1000,
        description="Further specs of a stratum before a sample is dropped.",
    )
    fuse: Annotated[int, Field(ge=1, le=10**9)] | None = Field(
        default=300,
        description="Images of one stratum (or of all together) after which the run ends if none "
        "was accepted, since none will be; null = never. The data does not depend on it.",
    )

    @property
    def action_units(self) -> frozenset[str] | None:
        """The AUs that the verifier can measure; None: any."""
        return frozenset(AUS)

    @property
    def most_images(self) -> int:
        """Images that one sample may take, where none keeps the policy."""
        replacements = self.max_replacements if self.on_exhausted == "replace" else 0
        return self.max_attempts * (1 + replacements)

    @property
    def sooner(self) -> str:
        """The end of a run before so many images are made, in words; empty without a fuse."""
        return "" if self.fuse is None else f"verify.fuse: {self.fuse} of a stratum end it sooner"

    @model_validator(mode="after")
    def _bounds_can_be_judged(self) -> Self:
        policy, identity = self.policy, self.identity
        if policy.min_identity_similarity is not None and identity is None:
            raise ValueError(
                "policy.min_identity_similarity needs an embedder: set verify.identity, such as "
                "{embedder: {kind: mini}}"
            )
        forbidden = None if identity is None else identity.forbidden
        if policy.max_similarity_to_forbidden is not None and forbidden is None:
            raise ValueError(
                "policy.max_similarity_to_forbidden needs a store of embeddings as "
                "verify.identity.forbidden"
            )
        return self
