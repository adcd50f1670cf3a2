"""Banks of expressions from pictures: FLAME numbers by SMIRK, AUs by a configuration's check.

A bank is a function of the set of pictures: its rows stand in the order of the checksums of their
bytes, and each picture counts once. Neither the bank nor what is kept of one that is not whole
holds a picture or its name; the table of what was left out does.
"""

import csv
import io
import os
import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.smirk.faces import FinderName
from samplers.flame import Bank, BankAbout
from samplers.flame.bank_file import check_bank_path
from synthgen.dataset.whole_files import replacing
from synthgen.errors import BankError, OutputError, PictureError
from synthgen.foreign import counted, excerpt, first_few
from synthgen.report.flame_reading import (
    FaceBounds,
    KeptRows,
    PictureFault,
    PictureReader,
    PictureRow,
    writing,
)
from synthgen.report.measuring import find_pictures, told
from synthgen.report.pictures import config_or_quickstart

_NAMED = 5
_LONGEST_LICENCE = 1_000


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A picture that is not in a bank.

    Attributes:
        file: the picture, as it was named or found.
        kind: what kind of reason there is.
        reason: the reason.
    """

    file: str
    kind: PictureFault
    reason: str


@dataclass(frozen=True, slots=True)
class MadeBank:
    """A bank, and what became of the pictures.

    Attributes:
        bank: the bank, its rows in the order of their sources.
        pictures: pictures that were looked at.
        again: of these, how many are copies of others, byte for byte.
        left: those that are not in it, in order.
        file: where it was written, or None.
    """

    bank: Bank
    pictures: int
    again: int
    left: tuple[LeftOut, ...]
    file: Path | None = None

    def text(self) -> str:
        """Say how many faces there are, and what became of the other pictures."""
        parts = [f"{counted(len(self.bank), 'face')} of {counted(self.pictures, 'picture')}"]
        if self.again:
            parts.append(f"{self.again} the same as another")
        kinds = Counter(one.kind for one in self.left)
        parts += [f"{count} {kind}" for kind, count in sorted(kinds.items())]
        where = "" if self.file is None else f"{excerpt(self.file)}: "
        listed = f"; see {excerpt(left_out_file(self.file))}" if self.left and self.file else ""
        return f"{where}{', '.join(parts)}{listed}"


def left_out_file(to: Path) -> Path:
    """Return the table of the pictures that are not in a bank: `bank.left-out.csv`."""
    return to.with_name(f"{to.stem}.left-out.csv")


def begun_file(to: Path) -> Path:
    """Return the file of what was read for a bank that is not whole: `bank.parquet.begun`."""
    return to.with_name(f"{to.name}.begun")


def make_flame_bank(
    named: Sequence[str | Path],
    smirk: str | Path,
    to: str | Path | None = None,
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    finder: FinderName = "mediapipe",
    bgr: bool = False,
    bounds: FaceBounds | None = None,
    licence: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> MadeBank:
    """Make a bank of the expressions in pictures of one face each.

    The same call continues one that was stopped, and gives the same bytes.

    Args:
        named: files, folders and patterns.
        smirk: SMIRK's published weights, `SMIRK_em1.pt`; or an extractor of drawn faces, or `mini`,
            as `load_extractor` takes them.
        to: the bank, `.parquet`; what was left out is listed beside it. None: nothing is written.
        config: configuration whose check measures the AUs; None: the example `quickstart`.
        overrides: `key=value` for the configuration.
        finder: `mediapipe` for photographs, `centered` for drawn and mini portraits.
        bgr: whether SMIRK is fed with the colours the other way round; see `SmirkEncoder`.
        bounds: what a face must keep; None: a side of 64 pixels.
        licence: licence of the pictures; None: none is named.
        say: takes lines about what measures and how far it is.

    Raises:
        PictureError: if something named does not exist or names no picture, or no picture of all
            can be taken.
        OutputError: if the bank is there already, or was begun by other means.
        BankError: if the bank cannot be written, or the licence is no line of text.
        ConfigError: if the configuration does not serve, or none of its checks measures AUs.
        WeightsError: if weights are missing or do not fit.
        MissingDependencyError: if a package that finds faces is not installed.
    """
    file = None if to is None else _target(Path(to))
    if licence is not None and not (licence.isprintable() and len(licence) <= _LONGEST_LICENCE):
        raise BankError(
            f"the licence of the pictures is {excerpt(licence, 100)}; it must be one line of at "
            f"most {_LONGEST_LICENCE:,} characters"
        )
    files, others = find_pictures([os.fspath(name) for name in named])
    if others:
        names = first_few([excerpt(other.name) for other in others], _NAMED)
        say(f"left out by {'its ending' if len(others) == 1 else 'their endings'}: {names}")
    run = config_or_quickstart(config, overrides)
    reader = PictureReader(run, smirk, finder, bgr, bounds or FaceBounds())
    encoder = reader.expressions.encoder
    say(f"read by {encoder.name}; {encoder.licence}")
    knows = reader.meter.knows
    say(f"measured by {reader.meter.name}" + (f", which {knows}" if knows else ""))
    kept = KeptRows(None if file is None else begun_file(file), reader.means(), say)
    read = reader.read(told(files, "faces", say), kept)
    try:
        made = _put_together(files, read, kept.rows, reader, licence, file)
    except PictureError:
        kept.delete()  # there is nothing to go on with
        raise
    if file is not None:
        _write(made, file)
        kept.delete()
    return made


def _target(to: Path) -> Path:
    """Refuse, before anything is read, a bank that could not be written.

    Raises:
        OutputError: if it is there already.
        BankError: if it has another ending, or its folder cannot be written to.
    """
    check_bank_path(to)
    # Where a bank was begun, the table is its own: the process was killed just before its end.
    ours = [to] if begun_file(to).exists() else [to, left_out_file(to)]
    for path in ours:
        if os.path.lexists(path):
            raise OutputError(
                f"{excerpt(path)} is there already; choose another file with --to, or move it away"
            )
    return to


def _put_together(
    files: Sequence[Path],
    read: Sequence[str | PictureRow],
    rows: Mapping[str, PictureRow],
    reader: PictureReader,
    licence: str | None,
    to: Path | None,
) -> MadeBank:
    """Make the bank of what was read of these very files.

    Raises:
        PictureError: if none of them can be taken.
    """
    left: list[LeftOut] = []
    taken: dict[str, PictureRow] = {}
    for file, source in zip(files, read, strict=True):
        row = rows[source] if isinstance(source, str) else source
        if row.kind is not None:
            name = os.fsencode(file).decode("utf-8", "backslashreplace")
            left.append(LeftOut(name, row.kind, row.reason))
        elif isinstance(source, str):
            taken[source] = row
    if not taken:
        raise PictureError(
            f"none of the {counted(len(files), 'picture')} can be taken; the first, "
            f"{excerpt(left[0].file)}: {left[0].reason}"
        )
    sources = sorted(taken)
    chosen = [taken[source] for source in sources]
    bank = Bank.build(
        np.array([row.flame for row in chosen], np.float32),
        np.array([row.aus for row in chosen], np.float32),
        reader.meter.aus,
        sources,
        _about(reader, licence, f"{counted(len(sources), 'picture')} of one face each"),
        np.array([row.quality for row in chosen], np.float32),
        "bank" if to is None else excerpt(to),
    )
    again = len(files) - len(left) - len(taken)
    return MadeBank(bank, len(files), again, tuple(left), to)


def _about(reader: PictureReader, licence: str | None, text: str) -> BankAbout:
    encoder, measured = reader.expressions.encoder, reader.meter.fingerprint()
    given = {} if licence is None else {"pictures": licence}
    return BankAbout(
        extractor=encoder.name,
        extractor_fingerprint=encoder.fingerprint,
        measurer=reader.meter.name,
        measurer_fingerprints=measured.get("weights", {}),
        licences={**measured.get("licences", {}), encoder.name: encoder.licence, **given},
        text=text,
    )


def _write(made: MadeBank, to: Path) -> None:
    """Write the table of what was left out, then the bank."""
    table = left_out_file(to)
    if made.left:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(("file", "reason"))
        writer.writerows((one.file, one.reason) for one in made.left)
        part = table.with_name(f".{table.name}.{secrets.token_hex(4)}")
        with writing(table), replacing(table, part):
            part.write_text(lines.getvalue(), encoding="utf-8")
    else:
        table.unlink(missing_ok=True)
    made.bank.write(to)
