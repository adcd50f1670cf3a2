"""One file with what many markers hold, so that few need be read one by one.

Markers say what is finished; the index only saves reading them. Behind a URL each marker is a
round trip, and a run of millions of samples has thousands. An entry counts as long as the store
tells the same version of the marker's own file, so an index that is old, or of a dataset that was
copied, is never wrong: what it does not know is read.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict

from synthgen.dataset import json_files, layout
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.markers import ShardMarker, marker_from
from synthgen.dataset.storage import Storage

_log = logging.getLogger(__name__)

Versioned = tuple[str, str]
"""Name of a marker's file, and the version of it that the store tells."""

_FEW = 250
"""Markers that are read one by one rather than indexed."""

_SHARE = 10
"""The index is written anew when it lacks one in so many markers."""


def read_index(storage: Storage) -> dict[Versioned, ShardMarker]:
    """Read the markers that the index holds; none where there is no index, or a broken one.

    Raises:
        DatasetError: if it is there and the store does not give it.
        OutputError: if the store does not answer.
    """
    if not storage.exists(layout.INDEX):
        return {}
    try:
        entries = json_files.load(storage.read(layout.INDEX))["markers"]
        return {
            (entry["name"], entry["version"]): marker_from(entry["name"], entry["marker"])
            for entry in entries
        }
    except json_files.NOT_WHOLE as error:
        cause = json_files.cause(error)
        _log.warning("%s is corrupt (%s); each marker is read instead", layout.INDEX, cause)
        return {}


class MarkerIndex:
    """The index of a run that goes on, as its driver keeps it."""

    def __init__(self, storage: Storage) -> None:
        """Write nothing yet."""
        self._storage = storage
        self._indexed = 0

    def keep(self, markers: Mapping[ShardKey, ShardMarker], *, last: bool = False) -> None:
        """Write the index anew if it lacks a good part of the markers; cheap otherwise.

        Args:
            markers: all there are.
            last: whether there will be no more: then it is written whatever it lacks.

        Raises:
            OutputError: if it cannot be written.
        """
        lacks = len(markers) - self._indexed
        enough = 1 if last and len(markers) > _FEW else max(_FEW, len(markers) // _SHARE)
        if lacks >= enough:
            self._storage.write(
                layout.INDEX, _dump(markers, self._storage.versions(layout.MARKERS))
            )
            self._indexed = len(markers)


def _dump(markers: Mapping[ShardKey, ShardMarker], versions: Mapping[str, str]) -> bytes:
    entries = [
        {"name": marker.name, "version": versions[marker.name], "marker": asdict(marker)}
        for marker in markers.values()
        if marker.name in versions
    ]
    return json.dumps({"markers": entries}, ensure_ascii=False).encode()
