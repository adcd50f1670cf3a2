"""The bases of the sections of the configuration, and what those of components answer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from synthgen.config.run import RunConfig

MOST_WEIGHT = 1e9
"""Largest weight of anything: sums of weights stay numbers."""


class Section(BaseModel):
    """A part of the configuration: immutable, and refusing keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def allowed_keys(cls, data: object) -> Mapping[str, Any]:
        """Return the keys that may stand here, for sentences about those that may not.

        Args:
            data: what stands here.

        Returns:
            Key → the type that it is read as, or again key → type.
        """
        return {
            field.alias or name: Annotated[field.annotation, field, *field.metadata]
            for name, field in cls.model_fields.items()
        }


@dataclass(frozen=True, slots=True)
class Figure:
    """A number and where it comes from.

    Attributes:
        value: the number.
        source: in words.
        bound: whether it is a bound only.
    """

    value: float
    source: str
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights that one machine has of those that a component, or a whole run, needs.

    Attributes:
        files: files and folders that hold them; those that are part of a package are left out.
        bytes: what they take in memory at the run's number format [bytes].
        licences: what is used → its licence.
        pins: key of the configuration → commit of what lies in a cache and is not pinned to it.
        facts: what the files say that the component's own estimates are made of.
        problems: one sentence for each that is missing.
        unfetched: one sentence for each that a worker would fetch first.
    """

    files: tuple[Path, ...] = ()
    bytes: int = 0
    licences: Mapping[str, str] = field(default_factory=dict)
    pins: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    unfetched: tuple[str, ...] = ()

    @classmethod
    def joined(cls, parts: Iterable["Weights"]) -> "Weights":
        """Return the weights of several components together."""
        found = list(parts)
        return cls(
            files=tuple(path for part in found for path in part.files),
            bytes=sum(part.bytes for part in found),
            licences={name: text for part in found for name, text in part.licences.items()},
            pins={key: commit for part in found for key, commit in part.pins.items()},
            facts={name: fact for part in found for name, fact in part.facts.items()},
            problems=tuple(text for part in found for text in part.problems),
            unfetched=tuple(text for part in found for text in part.unfetched),
        )


class Component(Section):
    """The section of a component, which knows everything about it and makes it.

    The answers here are those of a component that needs nothing; each kind has a base of its own,
    with more of them, and says how it is made.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    """Conditions of a spec without which it cannot work, such as `aus` or `faceid`."""

    takes: ClassVar[frozenset[str]] = frozenset()
    """Conditions that it uses besides, where they are given."""

    gives: ClassVar[frozenset[str]] = frozenset()
    """Conditions that it puts into the specs of every run."""

    gives_with: ClassVar[Mapping[str, str]] = {}
    """Condition → key of the section with which it gives that one too."""

    def given(self) -> frozenset[str]:
        """Return the conditions that it puts into the specs of a run, as it is configured."""
        asked = {name for name, key in self.gives_with.items() if getattr(self, key)}
        return self.gives | asked

    def used(self) -> frozenset[str]:
        """Return the conditions that it uses, as it is configured; it works without `takes`."""
        return self.needs | self.takes

    def check(self, run: "RunConfig") -> None:
        """Refuse, before anything is loaded, what this component cannot do in a run.

        Raises:
            SynthgenError: with one sentence on the key and what is allowed.
        """

    def check_values(self, run: "RunConfig") -> None:
        """Refuse values that rows would name and no image could show, and files that are not there.

        Looks at no weights, and loads no torch: `plan` refuses what `generate` would.

        Raises:
            SynthgenError: with one sentence on the key and what is allowed.
        """

    def doubts(self, run: "RunConfig") -> list[str]:
        """Return a sentence for each setting with which rows name what images do not show."""
        return []

    def find_weights(self, fetch: bool) -> Weights:
        """Look for the weights on this machine; loads no torch.

        Args:
            fetch: whether to fetch what is not here.

        Raises:
            WeightsError: if something is missing, and cannot be fetched or is not to be.
            MissingDependencyError: if a package that it takes is not installed.
        """
        return Weights()

    def with_absolute_paths(self) -> Self:
        """Return the section with paths that do not depend on the working folder."""
        return self

    def local_paths(self) -> list[str]:
        """Return the files and folders that it names, which a submitted job takes along."""
        return []

    def identity(self) -> dict[str, Any]:
        """Return the keys that the data is a function of."""
        return self.model_dump(mode="json")
