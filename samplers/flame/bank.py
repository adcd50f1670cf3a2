"""A bank of expressions: faces of which both the FLAME numbers and the Action Units are known.

A bank is a Parquet file of the columns `flame` (55 × float32), `aus` (k × float32), `source` (the
sha256 of the picture, never its name) and `quality`, whose metadata say which AUs these are and
which networks read both.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from samplers.flame.expression import FlameExpression, flame_batch
from synthgen.action_units import MAX_INTENSITY, MIN_INTENSITY, ActionUnitSet
from synthgen.config.priors.flame import MINI_BANK
from synthgen.errors import BankError
from synthgen.foreign import excerpt, shown

FORMAT, VERSION = "flame-bank", 1

MOST_ROWS = 1_000_000
"""Rows of a bank at most."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BankAbout:
    """Networks, licences and origin of a bank.

    Attributes:
        extractor: name of the network that read the FLAME numbers.
        extractor_fingerprint: `sha256:` and the checksum of its weights; empty where nobody knows.
        measurer: name of the network that measured the AUs.
        measurer_fingerprints: file → sha256 of its weights; empty where nobody knows.
        licences: what was used → its licence.
        text: where the faces come from, for people to read.
    """

    extractor: str
    extractor_fingerprint: str = ""
    measurer: str
    measurer_fingerprints: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    def to_json(self, action_units: ActionUnitSet) -> str:
        """Write it, with the AUs of a bank, for a file's metadata."""
        told = {
            "format": FORMAT,
            "version": VERSION,
            "action_units": list(action_units.names),
            "extractor": {"name": self.extractor, "fingerprint": self.extractor_fingerprint},
            "measurer": {
                "name": self.measurer,
                "fingerprints": dict(self.measurer_fingerprints),
            },
            "licences": dict(self.licences),
            "text": self.text,
        }
        return json.dumps(told, sort_keys=True)


@dataclass(frozen=True, eq=False)
class Bank:
    """Expressions that are known in FLAME's numbers and in AUs; a row is a face.

    Attributes:
        flame: 50 expression coefficients, 2 eyelids, 3 of the jaw, of each face.
        aus: the AUs that were measured in it [0–5].
        action_units: which AUs these are.
        sources: sha256 of the picture of each face, in hexadecimal digits.
        quality: how well each face was found, larger is better; NaN where nobody knows; None where
            nobody knows of any.
        about: networks, licences and origin.
        where: the file, for sentences.
    """

    flame: Float32[np.ndarray, "rows 55"]
    aus: Float32[np.ndarray, "rows aus"]
    action_units: ActionUnitSet
    sources: tuple[str, ...] = field(repr=False)
    quality: Float32[np.ndarray, " rows"] | None
    about: BankAbout
    where: str = "bank"

    @classmethod
    def build(
        cls,
        flame: Any,
        aus: Any,
        action_units: ActionUnitSet,
        sources: Sequence[str],
        about: BankAbout,
        quality: Any = None,
        where: str = "bank",
    ) -> "Bank":
        """Check what is to become a bank.

        Args:
            flame: [rows, 55].
            aus: [rows, AUs], measured intensities [0–5].
            action_units: the AUs, in their order.
            sources: sha256 of each picture, in 64 hexadecimal digits.
            about: networks, licences and origin.
            quality: [rows]; NaN where nobody knows.
            where: the file, for sentences.

        Raises:
            BankError: if there is no row, lengths differ, an expression is not 55 finite numbers,
                an AU is outside [0, 5], or a source is no sha256.
        """
        numbers = flame_batch(flame, where)
        rows = len(numbers)
        if not 0 < rows <= MOST_ROWS:
            raise BankError(f"{where} holds {rows:,} faces; a bank has 1 to {MOST_ROWS:,}")
        measured = _measured(aus, rows, action_units, where)
        if len(sources) != rows:
            raise BankError(f"{where} holds {rows} faces and {len(sources)} sources")
        for row, source in enumerate(sources):
            if not _SHA256.fullmatch(source):
                raise BankError(
                    f"{where}: row {row} (from 0) has the source {shown(source)}; it must be the "
                    "sha256 of the picture in 64 hexadecimal digits, never its name"
                )
        return cls(
            numbers,
            measured,
            action_units,
            tuple(sources),
            _qualities(quality, rows, where),
            about,
            where,
        )

    @classmethod
    def read(cls, path: str | Path) -> "Bank":
        """Read a bank; the text `mini` names the one of drawn faces, `./mini` is a file.

        Raises:
            BankError: if the file is missing, too large, or no bank, or holds what none may.
        """
        if path == MINI_BANK:
            from samplers.flame.drawn_bank import drawn_bank

            return drawn_bank()
        from samplers.flame.bank_file import read_bank  # pyarrow: for those who use banks

        return read_bank(path)

    def write(self, path: str | Path) -> None:
        """Write the bank whole or not at all; equal banks give equal bytes.

        Raises:
            BankError: if the name does not end in .parquet, or the file cannot be written.
        """
        from samplers.flame.bank_file import write_bank

        write_bank(path, self)

    @cached_property
    def digest(self) -> str:
        """A sha256 of what rendering takes: numbers, AUs, sources and who read them.

        Quality, licences and text do not change it.
        """
        about = self.about
        told = json.dumps(
            [
                list(self.action_units.names),
                [about.extractor, about.extractor_fingerprint],
                [about.measurer, dict(about.measurer_fingerprints)],
            ],
            sort_keys=True,
        )
        digest = sha256(told.encode())
        for values in (self.flame, self.aus):
            digest.update(values.astype("<f4").tobytes())
        digest.update("\0".join(self.sources).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        """Return the number of faces."""
        return len(self.flame)

    def expression(self, row: int) -> FlameExpression:
        """Return the expression of a face."""
        return FlameExpression(self.flame[row], self.sources[row])


def _measured(
    aus: Any, rows: int, action_units: ActionUnitSet, where: str
) -> Float32[np.ndarray, "rows aus"]:
    given = np.asarray(aus)
    wanted = (rows, len(action_units))
    if given.shape != wanted or given.dtype.kind not in "fiu":
        raise BankError(
            f"{where}: the AUs are an array of shape {list(given.shape)[:8]} and type "
            f"{given.dtype}; beside {rows} faces they must be numbers of shape {list(wanted)}, one "
            f"for each of {excerpt(', '.join(action_units.names))}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        measured = given.astype(np.float32)
        fits = (measured >= MIN_INTENSITY) & (measured <= MAX_INTENSITY)
    for row, au in np.argwhere(~fits)[:1].tolist():
        raise BankError(
            f"{where}: row {row} (from 0) has {action_units.names[au]} at "
            f"{shown(given[row, au].item())}; an intensity is in [0, 5]"
        )
    return measured


def _qualities(quality: Any, rows: int, where: str) -> Float32[np.ndarray, " rows"] | None:
    if quality is None:
        return None
    given = np.asarray(quality)
    if given.shape != (rows,) or given.dtype.kind not in "fiu":
        raise BankError(
            f"{where}: quality is an array of shape {list(given.shape)[:8]} and type "
            f"{given.dtype}; beside {rows} faces it must be numbers of shape {[rows]}"
        )
    numbers = given.astype(np.float32)
    for row in np.flatnonzero(np.isinf(numbers))[:1].tolist():
        raise BankError(f"{where}: row {row} (from 0) has an infinite quality")
    return None if np.isnan(numbers).all() else numbers
