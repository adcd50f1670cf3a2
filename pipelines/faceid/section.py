"""The section of check `faceid`, and the policy on whom images show; loads no torch."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from pipelines.weight_files import read_safetensors_header
from synthgen.config.base import Section, Weights
from synthgen.config.identities.base import MINI_STORE, absolute_store
from synthgen.config.verify import (
    Arc2FaceEmbedderConfig,
    CheckKeyError,
    CheckSection,
    EmbedderConfig,
    InsightFaceConfig,
)
from synthgen.errors import MissingDependencyError, WeightsError
from synthgen.installation import install_command

if TYPE_CHECKING:
    from pipelines.faceid.verifier import IdentityVerifier
    from synthgen.config.run import RunConfig

_Cosine = Annotated[float, Field(ge=-1, le=1)]


def _not_asked(value: object) -> bool:
    """Tell what stays out of a stored configuration: older ones do not know it."""
    return value is None


class IdentityPolicy(Section):
    """Bounds that an image must keep."""

    min_identity_similarity: _Cosine | None = Field(
        default=None,
        exclude_if=_not_asked,
        description="Least cosine [-1, 1] between the embedding of the image and that of the "
        "person asked for; null = not judged. Needs an embedder.",
    )
    max_similarity_to_forbidden: _Cosine | None = Field(
        default=None,
        exclude_if=_not_asked,
        description="Largest cosine [-1, 1] between the embedding of the image and any of the "
        "store of forbidden people; null = not judged.",
    )


class IdentityCheck(CheckSection):
    """Check that an image shows the person asked for."""

    name: Literal["faceid"]  # pyright: ignore[reportIncompatibleVariableOverride]
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
    neutral: bool = Field(
        default=False,
        exclude_if=lambda asked: not asked,
        description="Compare each image with the neutral image of its identity, which is painted "
        "for it, where prompts say who is shown.",
    )
    policy: IdentityPolicy = Field(
        default=IdentityPolicy(), description="Bounds an image must keep."
    )

    @model_validator(mode="after")
    def _bounds_can_be_judged(self) -> "IdentityCheck":
        if self.policy.max_similarity_to_forbidden is not None and self.forbidden is None:
            raise ValueError(
                "policy.max_similarity_to_forbidden needs a store of embeddings as forbidden"
            )
        return self

    def load(self, device: str, run: "RunConfig") -> "IdentityVerifier":
        """Load embedder and stores."""
        from pipelines.faceid.verifier import IdentityVerifier

        people = "faceid" in run.identities.given()
        return IdentityVerifier.from_config(self, device, run.pipeline.threads, people=people)

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse to compare images with people whom nobody asks for."""
        judged = self.policy.min_identity_similarity is not None
        if self.neutral:
            self._check_neutral(run)
        elif (judged or self.wanted is not None) and "faceid" not in run.identities.given():
            raise CheckKeyError(
                "policy.min_identity_similarity" if judged else "wanted",
                "it compares images with the people of a store; identities.source is "
                f"{run.identities.source!r}, it must be 'faceid'",
            )

    def _check_neutral(self, run: "RunConfig") -> None:
        """Refuse to compare with a neutral image what has a person, or more than AUs, asked for."""
        if self.wanted is not None or "faceid" in run.identities.given():
            other = "wanted" if self.wanted is not None else "identities.source"
            raise CheckKeyError(
                "neutral",
                f"images are compared with the people of {other}; leave one of them out",
            )
        if more := sorted(run.expressions.given() - {"aus"}):
            raise CheckKeyError(
                "neutral",
                f"a neutral image has AUs of 0 alone, and expressions.prior "
                f"{run.expressions.prior!r} gives {', '.join(more)} too; leave one of them out",
            )

    def check_values(self, run: "RunConfig") -> None:
        """Refuse stores that are not there, or are none.

        Raises:
            StoreError: as `read_store`.
        """
        from samplers.identities.store import store_path
        from samplers.identities.store_reading import read_raw

        for path in (self.wanted, self.forbidden):
            if path is not None:
                read_raw(store_path(path), None)

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the embedder's files, or its package."""
        embedder = self.embedder
        if fetch:
            from pipelines.faceid.verifier import load_embedder
            from pipelines.fineface.weights import is_embedded

            files = load_embedder(embedder).files
            return Weights(files=tuple(path for path in files if not is_embedded(path)))
        if isinstance(embedder, InsightFaceConfig | Arc2FaceEmbedderConfig):
            if find_spec("insightface") is None:
                raise MissingDependencyError(
                    "embedding photographs needs insightface, which is not installed: "
                    f"{install_command('faceid')}"
                )
            if isinstance(embedder, InsightFaceConfig):
                return Weights()
            from pipelines.faceid.arcface import find_arcface

            setting = "model of the check's embedder"
            return Weights((find_arcface(embedder.model, fetch=False, setting=setting),))
        if embedder.weights != "mini":
            if not Path(embedder.weights).exists():
                raise WeightsError(
                    f"face embedder {embedder.weights} does not exist; it must be a file"
                )
            read_safetensors_header(Path(embedder.weights))
        return Weights()

    def local_paths(self) -> list[str]:
        """Return the stores and the embedder's files, where they are not embedded."""
        if isinstance(self.embedder, InsightFaceConfig):
            files = _existing(self.embedder.model)
        elif isinstance(self.embedder, Arc2FaceEmbedderConfig):
            named = (self.embedder.model, self.embedder.detector)
            files = [path for name in named if name is not None for path in _existing(name)]
        else:
            files = [] if self.embedder.weights == "mini" else [self.embedder.weights]
        stores = [path for path in (self.wanted, self.forbidden) if path not in (None, MINI_STORE)]
        return [*(str(path) for path in stores), *files]

    def with_absolute_paths(self) -> "IdentityCheck":
        """Return the section with paths that do not depend on the working folder."""
        paths = {key: getattr(self, key) for key in ("wanted", "forbidden")}
        absolute = {key: absolute_store(path) for key, path in paths.items() if path}
        return self.model_copy(update=absolute)


def _existing(model: str) -> list[str]:
    """Return a path of models as a list; none where it is a name of what is downloaded."""
    path = Path(model).expanduser()
    return [model] if path.is_absolute() or path.exists() else []
