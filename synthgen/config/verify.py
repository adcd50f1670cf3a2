"""Section `verify`: how images are measured, which are kept, and the face embedder."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, cast

import numpy as np
from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails

from synthgen.action_units import ActionUnitSet
from synthgen.config.base import Component, Section
from synthgen.config.components import ComponentField, ComponentKind
from synthgen.errors import ConfigError

if TYPE_CHECKING:
    from synthgen.config.run import RunConfig

INSIGHTFACE_MODEL = "buffalo_l"
"""Model pack that insightface takes by itself."""

ARC2FACE = "FoivosPar/Arc2Face"
"""Hub id of Arc2Face, its adapters and its recogniser."""


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


class Arc2FaceEmbedderConfig(Section):
    """Arc2Face's own recogniser, whose embeddings the pipeline arc2face shows (extra 'faceid')."""

    kind: Literal["arc2face"] = Field(description="Arc2Face's recogniser (extra 'faceid').")
    model: str = Field(
        default=ARC2FACE,
        min_length=1,
        description="Folder that holds arcface.onnx, that file, or a Hub id.",
    )
    detector: str | None = Field(
        default=None,
        min_length=1,
        description="Folder of ONNX files with insightface's detector, or the name of a model "
        "pack, which insightface downloads; null: the folder of arcface.onnx where it holds "
        "another ONNX file, else buffalo_l.",
    )
    licence: str | None = Field(
        default=None, description="Licence of the models; null: that of the published ones."
    )
    min_score: float = Field(
        default=0.5, ge=0, le=1, description="Detector score from which a find counts as a face."
    )


EmbedderConfig = Annotated[
    DrawnEmbedderConfig | InsightFaceConfig | Arc2FaceEmbedderConfig, Field(discriminator="kind")
]


def embedder_config(
    kind: str,
    model: str | None = None,
    licence: str | None = None,
    detector: str | None = None,
) -> DrawnEmbedderConfig | InsightFaceConfig | Arc2FaceEmbedderConfig:
    """Say it in few words, as the command line does.

    Args:
        kind: `mini`, `insightface` or `arc2face`.
        model: folder or name of insightface's models, folder of Arc2Face's recogniser, or weight
            file; None: the usual one.
        licence: licence of the models of the latter two; None: their own.
        detector: folder or name of the detector of `arc2face`; None: the usual one.

    Raises:
        ConfigError: if a licence is given for `mini`, whose weight file says it, or a detector for
            another kind than `arc2face`.
    """
    if detector is not None and kind != "arc2face":
        raise ConfigError(
            f"the detector {detector!r} is given for the embedder {kind!r}, whose model has its "
            "own; it is for arc2face"
        )
    if kind == "insightface":
        return InsightFaceConfig(
            kind="insightface", model=model or INSIGHTFACE_MODEL, licence=licence
        )
    if kind == "arc2face":
        return Arc2FaceEmbedderConfig(
            kind="arc2face", model=model or ARC2FACE, detector=detector, licence=licence
        )
    if licence is not None:
        raise ConfigError(
            f"the licence {licence!r} is given for the embedder {kind!r}, whose weight file says "
            "its own"
        )
    return DrawnEmbedderConfig(kind="mini", weights=model or "mini")


CHECKS = ComponentKind(
    "check",
    "name",
    "synthgen.verifiers",
    "synthgen.config.verify:CheckSection",
    {
        "libreface": "pipelines.libreface.section:LibreFaceCheck",
        "faceid": "pipelines.faceid.section:IdentityCheck",
        "slots": "pipelines.slots.section:SlotsCheck",
        "libreface-package": "pipelines.libreface.package_section:LibreFacePackageCheck",
        "libreface-expression": "pipelines.libreface.expression_section:ExpressionsCheck",
        "blendshapes": "pipelines.blendshapes.section:BlendshapesCheck",
    },
)
"""The checks that `verify.checks` may name."""


class CheckKeyError(ValueError):
    """A fault against the rest of a configuration, at a key of a check's section.

    Attributes:
        key: the key, such as `policy.max_inactive`.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class CheckSection(Component, ABC):
    """The section of a check, which makes it; see `docs/extending.md`."""

    name: str = Field(description="Which check it is.")

    @abstractmethod
    def load(self, device: str, run: "RunConfig") -> Any:
        """Load it: a `pipelines.interfaces.Verifier`.

        Args:
            device: torch device, such as `cpu` or `cuda`.
            run: the run whose images it looks at.

        Raises:
            WeightsError: if weights are missing or of the wrong format.
        """

    @property
    def action_units(self) -> frozenset[str] | None:
        """The AUs that it can measure; None: it does not depend on them."""
        return None

    @property
    def measures_aus(self) -> bool:
        """True where it measures AUs, be it but some of the run's."""
        return self.action_units is not None

    @property
    def knows(self) -> str:
        """The pictures that it can measure, as `knows drawn faces alone`; empty: any."""
        return ""

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse what does not fit the rest of a configuration, as it is read.

        Raises:
            CheckKeyError: with the key, before which the check's place is put, and one sentence.
            ValueError: with one sentence on the whole check.
        """

    def working_memory(self, batch: int) -> int:
        """Return what measuring a batch takes, besides the weights [bytes]."""
        return 0

    def accepts(
        self, requested: np.ndarray, measured: np.ndarray, action_units: ActionUnitSet
    ) -> np.ndarray:
        """Return whether it would accept faces of these AUs for these requests; loads no torch.

        Args:
            requested: AU vectors, [requests, aus].
            measured: AUs of faces [0–5], [faces, aus].
            action_units: the AUs of both.

        Returns:
            [requests, faces], bool; all true where it does not look at AUs.
        """
        return np.ones((len(requested), len(measured)), dtype=bool)


def _by_name(value: object) -> object:
    """Read a check that is named and no more."""
    return {"name": value} if isinstance(value, str) else value


_Check = Annotated[CheckSection, ComponentField(CHECKS), BeforeValidator(_by_name)]


class VerifyConfig(Section):
    """Measuring of images, and treatment of those that miss a policy.

    What measures, and by which policy, is said by `checks`; or, as in older configurations, by the
    keys `verifier`, `weights`, `aligner`, `policy` and `identity`, which mean the checks
    `libreface` and `faceid`. What can be said by these is stored by these.
    """

    checks: list[_Check] = Field(
        default_factory=lambda: older_checks({}),
        description="What measures and judges images, in order: names, or mappings with a name; "
        "[] = nothing does, and every first image is kept.",
    )
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
    keep_reject_images: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Pictures of rejected attempts that each shard keeps of each reason: those "
        "that miss the policy by most; 0 = none.",
    )

    @property
    def most_images(self) -> int:
        """Images that one sample may take, where none keeps the policy; without checks, one."""
        if not self.checks:
            return 1
        replacements = self.max_replacements if self.on_exhausted == "replace" else 0
        return self.max_attempts * (1 + replacements)

    @property
    def sooner(self) -> str:
        """The end of a run before so many images are made, in words; empty without a fuse."""
        if self.fuse is None or not self.checks:
            return ""
        return f"verify.fuse: {self.fuse} of a stratum end it sooner"

    def accepts(
        self, requested: np.ndarray, measured: np.ndarray, action_units: ActionUnitSet
    ) -> np.ndarray:
        """Return whether all checks would accept faces for requests; see `CheckSection.accepts`."""
        accepted = np.ones((len(requested), len(measured)), dtype=bool)
        for check in self.checks:
            accepted &= check.accepts(requested, measured, action_units)
        return accepted

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse what a check cannot do in a run; each is told at the key that the user wrote.

        Raises:
            ValidationError: with the place of the key.
        """
        for number, check in enumerate(self.checks):
            try:
                check.check_configuration(run)
            except ValueError as error:
                key = tuple(error.key.split(".")) if isinstance(error, CheckKeyError) else ()
                # What does not stand in the data is left out of a place: either the older keys are
                # there, or `checks`.
                older = ("identity",) if check.name == "faceid" and key[:1] != ("policy",) else ()
                place = ("verify", *older, "checks", number, *key)
                wrong = InitErrorDetails(
                    type="value_error", loc=place, input={}, ctx={"error": error}
                )
                raise ValidationError.from_exception_data("verify", [wrong]) from error

    def with_absolute_paths(self) -> Self:
        """Return the section with paths that do not depend on the working folder."""
        checks = [check.with_absolute_paths() for check in self.checks]
        return self.model_copy(update={"checks": checks})

    @classmethod
    def allowed_keys(cls, data: object) -> Mapping[str, Any]:
        """Return the keys, the older ones too where nothing is said by `checks`."""
        keys = super().allowed_keys(data)
        if isinstance(data, Mapping) and "checks" in data:
            return keys
        sections = [CHECKS.section(name) for name in _SAID_BY_OLDER]
        policies = [
            cast(type[Section], each.model_fields["policy"].annotation) for each in sections
        ]
        first, identity = (_without(each.allowed_keys(data), "name", "policy") for each in sections)
        policy = {key: kind for each in policies for key, kind in each.allowed_keys(data).items()}
        return {**keys, "verifier": str, **first, "identity": identity, "policy": policy}

    @model_validator(mode="before")
    @classmethod
    def _read_older_keys(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        older = {key: data[key] for key in _OLDER if key in data}
        if "checks" not in data:
            rest = {key: value for key, value in data.items() if key not in older}
            return {**rest, "checks": older_checks(older)}
        if older:
            raise ValueError(
                f"checks and {', '.join(older)} say the same thing twice; say it by checks alone, "
                "whose entries have these keys"
            )
        return data

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        said = handler(self)
        if not self.keep_reject_images:  # so that older configurations stay the runs that they are
            del said["keep_reject_images"]
        if (older := _older_keys(said["checks"])) is None:
            return said
        return {**older, **{key: value for key, value in said.items() if key != "checks"}}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe the older keys too."""
        found = handler(schema)
        own = handler.resolve_ref_schema(found)["properties"]
        parts = [
            handler.resolve_ref_schema(handler(CHECKS.section(name).__pydantic_core_schema__))
            for name in _SAID_BY_OLDER
        ]
        keys, identity = (dict(part["properties"]) for part in parts)
        policies = {
            name: value
            for part in (keys, identity)
            for name, value in handler.resolve_ref_schema(
                part["policy"].get("allOf", [part["policy"]])[0]
            )["properties"].items()
        }
        for part in (keys, identity):
            del part["name"], part["policy"]
        own["verifier"] = {
            "enum": ["libreface", "none"],
            "default": "libreface",
            "description": "What measures the AUs; 'none' = every first image is kept.",
        }
        own |= keys
        own["identity"] = {
            "type": "object",
            "properties": identity,
            "required": ["embedder"],
            "additionalProperties": False,
            "description": "Whether images show whom they were asked to.",
        }
        own["policy"] = {
            "type": "object",
            "properties": policies,
            "additionalProperties": False,
            "description": "Bounds an image must keep.",
        }
        return found


_OLDER = ("verifier", "weights", "aligner", "identity", "policy")
"""Keys of `verify` by which its two built-in checks are said too."""

_SAID_BY_OLDER = ("libreface", "faceid")
"""The checks that these keys mean."""

_OF_IDENTITY = ("min_identity_similarity", "max_similarity_to_forbidden")
"""Keys of the older `policy` that are those of check `faceid`."""


def older_checks(said: Mapping[str, Any]) -> list[CheckSection]:
    """Return the checks that a configuration means by the older keys of `verify`.

    Raises:
        ValidationError: with the places of the older keys.
        ValueError: if a bound is set that nothing measures.
    """
    if said.get("verifier", "libreface") not in ("libreface", "none"):
        raise _fault(
            "literal_error", "verifier", said["verifier"], expected="'libreface' or 'none'"
        )
    if said.get("verifier") == "none":
        if others := [key for key in said if key != "verifier"]:
            raise ValueError(
                f"verifier is 'none', so nothing is measured; leave out {', '.join(others)}, or "
                "say what measures by checks"
            )
        return []
    policy, identity = said.get("policy", {}), said.get("identity")
    bounds: dict[str, Any] = {}
    if isinstance(policy, Mapping):
        bounds = {key: policy[key] for key in _OF_IDENTITY if policy.get(key) is not None}
        policy = {key: value for key, value in policy.items() if key not in _OF_IDENTITY}
    keys = {key: said[key] for key in ("weights", "aligner") if key in said}
    checks = [_section("libreface", {**keys, "policy": policy})]
    if identity is None:
        if "min_identity_similarity" in bounds:
            raise ValueError(
                "policy.min_identity_similarity needs an embedder: set verify.identity, such as "
                "{embedder: {kind: mini}}"
            )
    elif not isinstance(identity, Mapping):
        raise _fault("dict_type", "identity", identity)
    if "max_similarity_to_forbidden" in bounds and (identity or {}).get("forbidden") is None:
        raise ValueError(
            "policy.max_similarity_to_forbidden needs a store of embeddings as "
            "verify.identity.forbidden"
        )
    return checks if identity is None else [*checks, _identity(identity, bounds)]


def _identity(said: Mapping[str, Any], bounds: Mapping[str, Any]) -> CheckSection:
    """Read the older key `identity`; what is wrong is told at its own place."""
    for key in ("name", "policy"):
        if key in said:
            raise _fault("extra_forbidden", "identity", said[key], key)
    try:
        return _section("faceid", {**said, "policy": bounds})
    except ValidationError as error:
        raise ValidationError.from_exception_data(
            "verify",
            [
                InitErrorDetails(
                    type=entry["type"],
                    loc=entry["loc"]
                    if entry["loc"][0] == "policy"
                    else ("identity", *entry["loc"]),
                    input=entry["input"],
                    ctx=entry.get("ctx", {}),
                )
                for entry in error.errors(include_url=False)
            ],
        ) from error


def _section(name: str, keys: Mapping[str, Any]) -> CheckSection:
    found = CHECKS.section(name).model_validate({"name": name, **keys}, strict=True)
    return cast(CheckSection, found)


def _fault(kind: Any, key: str, value: object, *more: str, **context: object) -> ValidationError:
    details = InitErrorDetails(type=kind, loc=(key, *more), input=value, ctx=context)
    return ValidationError.from_exception_data("verify", [details])


def _older_keys(checks: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return checks as the older keys say them; None where these cannot."""
    if [check["name"] for check in checks] not in (["libreface"], ["libreface", "faceid"]):
        return None
    first, *others = checks
    policies = {key: value for check in checks for key, value in check["policy"].items()}
    return {
        "verifier": first["name"],
        **_without(first, "name", "policy"),
        **({"identity": _without(others[0], "name", "policy")} if others else {}),
        "policy": policies,
    }


def _without(keys: Mapping[str, Any], *left_out: str) -> dict[str, Any]:
    return {key: value for key, value in keys.items() if key not in left_out}
