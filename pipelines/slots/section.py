"""The section of check `slots`, its readers, and the policy on slots; loads no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from pipelines.procedural.vocabulary import TRAITS
from pipelines.slots.traits import slot_traits
from pipelines.weight_files import count_numbers, read_safetensors_header
from synthgen.config.base import Section, Weights
from synthgen.config.verify import CheckKeyError, CheckSection
from synthgen.errors import ConfigError, WeightsError
from synthgen.foreign import did_you_mean, listed

if TYPE_CHECKING:
    from pipelines.slots.verifier import SlotsVerifier
    from synthgen.config.run import RunConfig

CLIP_FILES = ("config.json", "preprocessor_config.json", "tokenizer_config.json")
"""Files of a CLIP that must be there, beside its weights and its tokens."""

CLIP_WEIGHTS = "model.safetensors"

CLIP_TOKENS = ("tokenizer.json", "vocab.json")
"""Files of tokens, of which one must be there."""


class AttributesConfig(Section):
    """A network that reads the traits of drawn and mini faces."""

    kind: Literal["attributes"] = Field(description="Drawn and mini faces.")
    weights: str = Field(min_length=1, description="File that `synthgen train attributes` wrote.")

    def judged(self, run: "RunConfig") -> list[str]:
        """Return the slots that it can judge: those whose values name traits that it knows.

        A file that is missing, which the preflight tells, knows all.
        """
        path = Path(self.weights).expanduser()
        known = known_traits(path) if path.is_file() else tuple(TRAITS)
        return list(slot_traits(run.identities, known))

    @property
    def unjudged(self) -> str:
        """Why it cannot judge a slot, in words that follow the slot's name."""
        return "its values name no trait that the network reads"

    @property
    def knows(self) -> str:
        """The pictures that it can read."""
        return "knows drawn faces and those of the embedded model alone"

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the file."""
        path = Path(self.weights).expanduser()
        known_traits(path)
        licence = read_safetensors_header(path)[1].get("licence", "not stated")
        return Weights(bytes=4 * count_numbers(path), licences={path.name: licence})

    def local_paths(self) -> list[str]:
        """Return the file."""
        return [self.weights]

    def with_absolute_paths(self) -> "AttributesConfig":
        """Return the section with a path that does not depend on the working folder."""
        return self.model_copy(update={"weights": str(Path(self.weights).expanduser().absolute())})


class ClipConfig(Section):
    """CLIP: the value whose sentence is nearest to the image, of a slot's values."""

    kind: Literal["clip"] = Field(description="Photographs, by any CLIP.")
    model: str = Field(
        min_length=1,
        description="CLIP of transformers with text and image encoder: Hub id or folder.",
    )
    revision: str | None = Field(default=None, description="Revision on the Hub.")
    template: str | None = Field(
        default=None,
        description="Sentence with {value} and, where wanted, {slot}; null: the run's own prompt, "
        "with the other slots as asked for.",
    )
    texts: dict[str, dict[str, str]] = Field(
        default={},
        description="Slot → value → its sentence, instead of the template's; for all values of a "
        "slot, such as {extra: {'': a face without glasses, glasses: a face with glasses}}.",
    )
    licence: str | None = Field(default=None, description="Licence of the model, for the card.")

    @model_validator(mode="after")
    def _template_has_a_place(self) -> "ClipConfig":
        if self.template is None:
            return self
        try:
            one, other = (self.template.format(value=each, slot="age") for each in ("a", "b"))
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(
                f"template {self.template!r} cannot be filled; it may name {{value}} and {{slot}}"
            ) from error
        if one == other:
            raise ValueError(f"template {self.template!r} must name {{value}}")
        return self

    def judged(self, run: "RunConfig") -> list[str]:
        """Return the slots that it can judge: those of several values."""
        return [slot for slot, values in run.identities.weighted_slots().items() if len(values) > 1]

    @property
    def unjudged(self) -> str:
        """Why it cannot judge a slot, in words that follow the slot's name."""
        return "it has one value, and nothing to tell it from"

    @property
    def knows(self) -> str:
        """Any pictures."""
        return ""

    def folder(self, fetch: bool = True) -> Path:
        """Return the model's folder.

        Raises:
            WeightsError: as `pipelines.hub.resolve`.
        """
        from pipelines.hub import resolve

        return resolve(
            self.model,
            revision=self.revision,
            files=[*CLIP_FILES, CLIP_WEIGHTS],
            either=list(CLIP_TOKENS),
            patterns=["merges.txt", "special_tokens_map.json"],
            setting="reader.model of the check slots",
            fetch=fetch,
        )

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the model's files."""
        from pipelines.hub import commit_of

        folder = self.folder(fetch)
        commit = commit_of(folder)
        pinned = commit is None or commit == self.revision
        return Weights(
            files=(folder,),
            bytes=4 * count_numbers(folder / CLIP_WEIGHTS),
            licences={self.model: self.licence or "not stated"},
            pins={} if pinned else {"reader.revision of the check slots": str(commit)},
        )

    def local_paths(self) -> list[str]:
        """Return the folder, where it is none of the Hub's."""
        return [self.model] if Path(self.model).expanduser().is_dir() else []

    def with_absolute_paths(self) -> "ClipConfig":
        """Return the section with a path that does not depend on the working folder."""
        absolute = [str(Path(path).expanduser().absolute()) for path in self.local_paths()]
        return self.model_copy(update={"model": absolute[0]}) if absolute else self


def known_traits(path: Path) -> tuple[str, ...]:
    """Return the traits that an attribute network's file says it reads; loads no torch.

    Raises:
        WeightsError: if the file is missing or damaged, or its metadata does not say it.
    """
    if not path.exists():
        raise WeightsError(
            f"attribute network {path} does not exist; `synthgen train attributes CONFIG "
            "--to FOLDER` makes one"
        )
    try:
        traits: Any = json.loads(read_safetensors_header(path)[1].get("traits", ""))
    except (ValueError, RecursionError):
        traits = None
    if not isinstance(traits, Mapping):
        raise WeightsError(f"{path}: its metadata does not say which traits it reads")
    return tuple(trait for trait in TRAITS if trait in traits)


class SlotsPolicy(Section):
    """Bounds that an image must keep."""

    refuse: list[str] = Field(
        default=[],
        description="Slots for which an image is rejected that shows something else; [] = what is "
        "read is stored, and nothing is rejected.",
    )
    min_probability: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Least probability, to the reader, of the value asked for, in the slots of "
        "refuse; null = another one need only be read.",
    )

    @model_validator(mode="after")
    def _bound_has_slots(self) -> "SlotsPolicy":
        if self.min_probability is not None and not self.refuse:
            raise ValueError(
                "min_probability bounds the slots that refuse names, and it names none; "
                "set refuse, such as [glasses]"
            )
        return self


class SlotsCheck(CheckSection):
    """Check that an image shows what the slots of its identity name."""

    name: Literal["slots"]  # pyright: ignore[reportIncompatibleVariableOverride]
    reader: Annotated[AttributesConfig | ClipConfig, Field(discriminator="kind")] = Field(
        description="What reads images."
    )
    slots: list[str] | None = Field(
        default=None,
        min_length=1,
        description="Slots that are read; null: all that the reader can judge.",
    )
    policy: SlotsPolicy = Field(default=SlotsPolicy(), description="Bounds an image must keep.")

    def load(self, device: str, run: "RunConfig") -> "SlotsVerifier":
        """Load the reader."""
        from pipelines.slots.verifier import load_verifier

        return load_verifier(self, self.judged(run), device, run)

    def judged(self, run: "RunConfig") -> list[str]:
        """Return the slots of a run that are read, in the order of the template."""
        found = self.reader.judged(run)
        return [slot for slot in found if self.slots is None or slot in self.slots]

    @property
    def knows(self) -> str:
        """The pictures that its reader can read."""
        return self.reader.knows

    def check_configuration(self, run: "RunConfig") -> None:
        """Refuse slots, and sentences of values, that a run does not have."""
        slots = run.identities.weighted_slots()
        if not slots:
            raise ValueError(
                "it compares images with slots of identities, and identities.slots has none; "
                "leave the check out, or give the template slots"
            )
        named = {"slots": self.slots or [], "policy.refuse": self.policy.refuse}
        texts = self.reader.texts if isinstance(self.reader, ClipConfig) else {}
        for key, names in {**named, "reader.texts": list(texts)}.items():
            for name in names:
                if name not in slots:
                    there = f"there are {listed(slots)}"
                    raise CheckKeyError(
                        key, f"it names the slot {name!r}; {did_you_mean(name, slots, there)}"
                    )
        for slot in self.policy.refuse:
            if self.slots is not None and slot not in self.slots:
                raise CheckKeyError(
                    "policy.refuse",
                    f"it names the slot {slot!r}, which slots does not name",
                )
        for slot, sentences in texts.items():
            if {*sentences} != {*slots[slot]}:
                raise CheckKeyError(
                    "reader.texts",
                    f"it has sentences for {listed(sentences)} of the slot {slot!r}; it must have "
                    f"one for each of its values: {listed(slots[slot])}",
                )

    def check_values(self, run: "RunConfig") -> None:
        """Refuse to read a slot that the reader cannot judge, where it is asked to.

        Raises:
            ConfigError: if `slots` or `policy.refuse` names one, or there is no other.
        """
        judged = self.reader.judged(run)
        for slot in [*(self.slots or []), *self.policy.refuse]:
            if slot not in judged:
                raise ConfigError(
                    f"the check slots cannot judge the slot {slot!r} by {self.reader.kind}: "
                    f"{self.reader.unjudged}; it can judge {listed(judged) or 'none'}"
                )
        if not judged:
            slots = listed(run.identities.weighted_slots())
            raise ConfigError(
                f"the check slots can judge none of the slots {slots} by {self.reader.kind}: "
                f"{self.reader.unjudged}; leave the check out"
            )

    def doubts(self, run: "RunConfig") -> list[str]:
        """Tell of slots that nothing judges."""
        judged = self.reader.judged(run)
        return [
            f"the check slots does not judge the slot {slot!r}: {self.reader.unjudged}"
            for slot in run.identities.weighted_slots()
            if self.slots is None and slot not in judged
        ]

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the reader's files."""
        return self.reader.find_weights(fetch)

    def local_paths(self) -> list[str]:
        """Return the reader's file or folder."""
        return self.reader.local_paths()

    def with_absolute_paths(self) -> "SlotsCheck":
        """Return the section with paths that do not depend on the working folder."""
        return self.model_copy(update={"reader": self.reader.with_absolute_paths()})
