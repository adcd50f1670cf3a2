"""The card of a dataset and what lies beside it for programs, written from what is committed."""

from collections.abc import Sequence

import yaml

from synthgen.dataset import layout
from synthgen.dataset.card.croissant import croissant_problems, render_croissant
from synthgen.dataset.card.findings import faces_section, strata_section
from synthgen.dataset.card.header import hub_header
from synthgen.dataset.card.limits import limits_section, uses_section
from synthgen.dataset.card.origin import origin_sections
from synthgen.dataset.card.picture import sample_sheet
from synthgen.dataset.card.sections import (
    aus_section,
    contents_section,
    introduction,
    loading_section,
    merged_introduction,
    pipeline_section,
    verification_section,
)
from synthgen.dataset.loading import card_checksum
from synthgen.dataset.markers import ShardMarker, read_markers
from synthgen.dataset.run_record import RunRecord, read_record
from synthgen.dataset.slot_text import slots_section
from synthgen.dataset.statistics import Statistics, count, data_checksum, in_order_of_splits
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError, MissingFileError
from synthgen.foreign import first_line


def write_card(storage: Storage) -> None:
    """Write the card, its picture and `croissant.json` from what is committed.

    Raises:
        DatasetError: if there is no dataset, or a shard or marker is corrupt; it is a
            `DamagedShardError` where a shard's files are not what its marker says.
        OutputError: if a file cannot be written.
    """
    record = read_record(storage)
    markers = read_markers(storage)
    statistics = count(storage, record, markers.values())
    picture = sample_sheet(storage, record, list(markers.values()))
    if picture is not None:
        storage.write(layout.PICTURE, picture)
    card = render_card(record, statistics, picture=picture is not None)
    storage.write(layout.CARD, card.encode())
    storage.write(layout.CROISSANT, render_croissant(record, statistics, markers.values()))


def card_problems(storage: Storage, record: RunRecord, markers: Sequence[ShardMarker]) -> list[str]:
    """Compare card and `croissant.json` with the markers.

    Returns:
        One sentence for each thing in which they are missing, or of other data.

    Raises:
        DatasetError: if the store fails.
        OutputError: if it does not answer.
    """
    problems = croissant_problems(storage, markers)
    try:
        stated = card_checksum(storage)
    except MissingFileError:
        return [f"{layout.CARD} is missing", *problems]
    except DatasetError as error:
        return [first_line(error), *problems]
    if stated == data_checksum(in_order_of_splits(record, markers)):
        return problems
    return [f"{layout.CARD} is of other data (its checksum is {stated or 'none'})", *problems]


def render_card(record: RunRecord, statistics: Statistics, *, picture: bool = False) -> str:
    """Write the card as Markdown with a YAML header; equal arguments give equal text.

    Args:
        record: the run.
        statistics: what is committed.
        picture: whether the sheet of samples lies beside the card.
    """
    header = yaml.safe_dump(hub_header(record, statistics), sort_keys=False, allow_unicode=True)
    return f"---\n{header}---\n\n{_body(record, statistics, picture=picture)}"


def _body(record: RunRecord, statistics: Statistics, *, picture: bool) -> str:
    """Write the sections of a card as Markdown."""
    merged = bool(record.sources)
    sections = [
        merged_introduction(record, picture) if merged else introduction(record, picture),
        uses_section(),
        loading_section(record, statistics),
        contents_section(statistics),
        aus_section(statistics),
        *pipeline_section(record.schema),
        verification_section(record.schema, statistics),
        *faces_section(statistics.faces),
        *slots_section(statistics.by_slot),
        *([] if merged else [strata_section(statistics, record.configuration)]),
        limits_section(record, statistics),
        *origin_sections(record, statistics),
    ]
    return "\n\n".join(sections) + "\n"
