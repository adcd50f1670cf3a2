"""Identity source `roster` for synthgen: people of a CSV file, a prompt each."""

import csv
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from pydantic import Field

from synthgen.extending import (
    ConfigError,
    Identities,
    Identity,
    IdentitySection,
    Partition,
    derive_seed,
)


class Roster(IdentitySection):
    """Section `identities` with `source: roster`."""

    template: str = Field(default="as in the file", description="Not read.")
    people: str = Field(description="CSV file with the columns person and prompt.")

    def build(
        self, seed: int, samples: int, partition: Partition, asked: str, run_id: str
    ) -> "RosterIdentities":
        """Read the file.

        Raises:
            ConfigError: if it cannot be read, or has too few people.
        """
        try:
            text = Path(self.people).read_text(encoding="utf-8")
            rows = tuple(
                (row["person"], row["prompt"]) for row in csv.DictReader(text.splitlines())
            )
        except (OSError, KeyError) as error:
            raise ConfigError(
                f"identities.people: {self.people} cannot be read ({error}); it must be a CSV file "
                "with the columns person and prompt"
            ) from error
        count = -(-samples // partition.group)
        if len(rows) < count:
            raise ConfigError(
                f"identities.people: {self.people} has {len(rows)} people, but samples: {samples} "
                f"with {asked} ask for {count}"
            )
        return RosterIdentities(count, rows, seed, sha256(text.encode()).hexdigest())

    def with_absolute_paths(self) -> Self:
        """Return the section with the file's absolute path."""
        return self.model_copy(update={"people": str(Path(self.people).absolute())})

    def local_paths(self) -> list[str]:
        """Return the file, so that a submitted job takes it along."""
        return [self.people]


@dataclass(frozen=True, slots=True)
class RosterIdentities(Identities):
    """People in the order of the file.

    Attributes:
        count: identities of the run.
        rows: name and prompt of each person.
        seed: seed of the run.
        digest: sha256 of the file.
    """

    count: int
    rows: tuple[tuple[str, str], ...]
    seed: int
    digest: str

    @property
    def slots(self) -> tuple[str, ...]:
        """None: the file has no slots."""
        return ()

    def identity(self, number: int) -> Identity:
        """Return the person in a row of the file."""
        person, prompt = self.rows[number]
        return Identity(person, {}, derive_seed(self.seed, "roster", number), prompt)

    def fingerprint(self) -> dict[str, str]:
        """Return the digest of the file, of which the data is a function."""
        return {"people": self.digest}
