"""Mend what stands beside a dataset's rows: record, configuration, markers, card, strays.

Nothing is deleted but markers of damaged shards and what interrupted writes left; what is none of
ours is set aside, under its name, in the folder `set-aside`. Rows are made again by `generate`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import pyarrow.parquet as pq

from cluster.records import make_record
from cluster.worker import load_worker
from samplers.plan import build_plan
from synthgen.config import dump_config
from synthgen.config.loading import parse_config
from synthgen.dataset import (
    Lease,
    RunRecord,
    ShardMarker,
    Storage,
    layout,
    reached,
    read_record,
    remove_leftovers,
    write_card,
)
from synthgen.dataset.card.writing import card_problems
from synthgen.dataset.damage import find_damage, shortened
from synthgen.dataset.markers import readable_markers
from synthgen.dataset.opening import obstacles, strays
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.schema import data_features
from synthgen.errors import ConfigError, DatasetError
from synthgen.foreign import first_line
from synthgen.report.comparison import of_today, stored_config
from synthgen.report.reproduction import ReproducedReject, Reproduction, reproduce
from synthgen.report.status import planned_shards

SET_ASIDE = "set-aside"
"""Folder of a dataset where foreign files go; nothing of ours lies there."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to mend.

    Attributes:
        text: what is wrong, and what is done about it.
        do: does it.
    """

    text: str
    do: Callable[[], None]


def repair(url: str, yes: bool, say: Callable[[str], None]) -> None:
    """Say what can be mended in a dataset, and mend it if asked to.

    Args:
        url: folder or URL of the dataset.
        yes: whether it is mended.
        say: takes each line as it becomes known.

    Raises:
        DatasetError: if there is no dataset, or it cannot be mended from what is there.
        OutputError: if a run is writing it, or nothing can be written.
    """
    storage = reached(url)
    if yes:
        Lease(storage).look()
    found = 0
    for look in (_foreign, _record, _configuration, _unplanned, _damage, _leftovers, _card):
        # What one step mends, the next one reads: so each looks when its turn has come.
        for step in look(storage):
            found += 1
            say(f"{'mending' if yes else 'would mend'}: {step.text}")
            if yes:
                step.do()
        if found and not yes and look is _record and not _has_record(storage):
            say("the rest can be looked at once the record is there")
            break
    if not found:
        say(f"{url}: nothing to repair")
    elif yes:
        say("mended; `synthgen generate` with the same configuration makes shards that lack again")
    else:
        say(f"nothing was changed; `{layout.repair_command(url)} --yes` does it")


def _has_record(storage: Storage) -> bool:
    return _is_readable(read_record, storage)


def _is_readable(read: Callable[[Storage], object], storage: Storage) -> bool:
    try:
        read(storage)
    except DatasetError:
        return False
    return True


def _foreign(storage: Storage) -> list[Step]:
    """Set aside what lies in the place of our files, and files beside the shards."""
    found = obstacles(storage) | dict.fromkeys(strays(storage), "no file of this dataset")
    return [_aside(storage, name, f"{name} is {kind}") for name, kind in found.items()]


def _aside(storage: Storage, name: str, wrong: str) -> Step:
    target = f"{SET_ASIDE}/{name}"
    number = 1
    while storage.holds(target):
        number += 1
        target = f"{SET_ASIDE}/{name}.{number}"
    return Step(f"{wrong}; it goes to {target}", partial(storage.move, name, target))


def _record(storage: Storage) -> list[Step]:
    """Make a lost or corrupt record again, if one row shows that it would be the same."""
    if _has_record(storage):
        return []
    if not storage.exists(layout.CONFIG):
        read_record(storage)  # says what is there, and why it is none
    lack = "corrupt" if storage.exists(layout.RUN) else "lost"
    text = (
        f"{layout.RUN} is {lack}; it is made again from {layout.CONFIG}, if a sample that is made "
        "again comes out the same"
    )
    return [Step(text, partial(_renew_record, storage))]


def _renew_record(storage: Storage) -> None:
    if not storage.exists(layout.RUN):
        _prove_and_write_record(storage)
        return
    corrupt = storage.read(layout.RUN)
    storage.delete(layout.RUN)
    try:
        _prove_and_write_record(storage)
    except BaseException:
        storage.write(layout.RUN, corrupt)
        raise


def _prove_and_write_record(storage: Storage) -> None:
    config = stored_config(storage)
    markers = readable_markers(storage)[0]
    filled = next((marker for marker in markers.values() if marker.rows), None)
    if filled is None:
        raise DatasetError(
            f"{layout.RUN} of {storage.url} cannot be made again: no finished shard has a row that "
            "could prove it; put it back from a copy, or begin anew elsewhere"
        )
    plan = build_plan(config)
    record = make_record(config, plan, load_worker(config, plan).fingerprint())
    _prove(storage, record, filled)
    made = sorted({marker.hardware for marker in markers.values() if marker.hardware})
    begun = min((marker.started for marker in markers.values() if marker.started), default="")
    record = replace(
        record,
        hardware=tuple(made) or record.hardware,
        created=begun or record.created,
        samples=max(config.samples, sum(m.stop - m.start for m in markers.values())),
    )
    storage.write(layout.RUN, record.to_json())


def _prove(storage: Storage, record: RunRecord, marker: ShardMarker) -> None:
    """See that the columns, and one image, are those that this record would give.

    Raises:
        DatasetError: if they are not.
    """
    name = layout.data_file(*marker.key)
    with storage.open(name) as file:
        columns = pq.read_schema(file).names
    batch = next(read_columns(storage, name, ["sample_id"], batch_rows=1))
    sample = str(batch.column(0)[0].as_py())
    fault = "" if columns == list(data_features(record.schema)) else f"{name} has other columns"
    try:
        # A sample's name tells the configuration, its image the weights and packages.
        fault = fault or _difference(reproduce(storage.url, sample))
    except (ConfigError, DatasetError) as error:
        fault = first_line(error)
    if fault:
        raise DatasetError(
            f"{layout.RUN} of {storage.url} cannot be made again with the configuration, "
            f"weights and packages that are here: {fault}; put it back from a copy, or repair it "
            "where it was made"
        )


def _difference(found: Reproduction | ReproducedReject) -> str:
    return "" if found.same else found.text()


def _configuration(storage: Storage) -> list[Step]:
    """Write a lost or corrupt configuration again from the record."""
    if not _has_record(storage) or (record := read_record(storage)).sources:
        return []
    if _is_readable(stored_config, storage):
        return []
    steps = []
    if storage.exists(layout.CONFIG):
        steps.append(_aside(storage, layout.CONFIG, f"{layout.CONFIG} cannot be read"))
    text = f"{layout.CONFIG} is written again from {layout.RUN}, with the section cluster as usual"
    return [*steps, Step(text, partial(_write_configuration, storage, record))]


def _write_configuration(storage: Storage, record: RunRecord) -> None:
    data = of_today({**record.configuration, "samples": record.samples})
    config = parse_config(data, where=f"the configuration in {layout.RUN}")
    output = config.output.model_copy(update={"path": storage.url})
    config = config.model_copy(update={"output": output})
    storage.write(layout.CONFIG, dump_config(config).encode())


def _unplanned(storage: Storage) -> list[Step]:
    """Set aside the files of shards that the run does not have."""
    if not _has_record(storage) or (record := read_record(storage)).sources:
        return []
    if record.outdated:  # this version may cut its shards otherwise
        return []
    planned = planned_shards(stored_config(storage), record.samples)
    names = [
        name
        for folder in (layout.MARKERS, *layout.OF_SHARDS)
        for name in storage.names(folder)
        if (key := layout.shard_of(name)) is not None and key not in planned
    ]
    return [_aside(storage, name, f"{name} is of a shard that was not asked for") for name in names]


def _damage(storage: Storage) -> list[Step]:
    """Delete the markers of shards that are not what they say, so that they are made again."""
    markers, corrupt = readable_markers(storage)
    problems = find_damage(storage, markers.values(), verify=True)
    damaged = {markers[key].name: shortened(found) for key, found in problems.items()}
    damaged |= {name: error.problem for name, error in corrupt.items()}
    return [
        Step(
            f"{wrong}; the marker {name} goes, so that its shard is made again",
            partial(storage.delete, name),
        )
        for name, wrong in damaged.items()
    ]


def _leftovers(storage: Storage) -> list[Step]:
    """Delete what interrupted writes left."""
    names = [n for f in layout.FOLDERS for n in storage.names(f) if layout.is_temporary(n)]
    if not names:
        return []
    return [
        Step(
            f"{shortened(names)} is what interrupted writes left; it is deleted",
            partial(remove_leftovers, storage),
        )
    ]


def _card(storage: Storage) -> list[Step]:
    """Write card and `croissant.json` anew where they do not say which shards there are.

    Where shards are lacking or damaged, `generate` makes them again, and then writes both.
    """
    if not _has_record(storage):
        return []
    markers, corrupt = readable_markers(storage)
    made = sum(marker.stop - marker.start for marker in markers.values())
    record = read_record(storage)
    lacking = made < record.samples
    if lacking or corrupt or find_damage(storage, markers.values()):
        return []
    problems = card_problems(storage, record, list(markers.values()))
    if not problems:
        return []
    text = f"{shortened(problems)}; {layout.CARD} and {layout.CROISSANT} are written again"
    return [Step(text, partial(write_card, storage))]
