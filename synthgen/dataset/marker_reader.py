"""Reads the markers of a dataset, many of them from the index where there is one."""

from concurrent.futures import ThreadPoolExecutor

from synthgen.dataset import layout
from synthgen.dataset.layout import ShardKey
from synthgen.dataset.marker_index import Versioned, read_index
from synthgen.dataset.markers import CorruptMarkerError, ShardMarker, parse_marker
from synthgen.dataset.storage import Storage
from synthgen.errors import DatasetError

_READERS = 16
"""Markers read at a time: behind a URL each takes a round trip."""


def read_markers(storage: Storage) -> dict[ShardKey, ShardMarker]:
    """Read all markers of a dataset, in order of split and number.

    Raises:
        DatasetError: if a marker is corrupt.
    """
    return MarkerReader(storage).read()


def readable_markers(
    storage: Storage,
) -> tuple[dict[ShardKey, ShardMarker], dict[str, CorruptMarkerError]]:
    """Read what can be read of the markers of a dataset.

    Returns:
        The whole markers, in order of split and number, and name → reason of the corrupt ones.
    """
    return MarkerReader(storage).readable()


class MarkerReader:
    """Reads the markers of a dataset that may be growing; each file once."""

    def __init__(self, storage: Storage) -> None:
        """Begin with none."""
        self._storage = storage
        self._known: dict[Versioned, ShardMarker] | None = None

    def read(self) -> dict[ShardKey, ShardMarker]:
        """Return all markers there are now, in order of split and number.

        What is known of a file, from the index or an earlier call, counts as long as the store
        tells the same version of it.

        Raises:
            DatasetError: if a marker is corrupt.
        """
        markers, corrupt = self.readable()
        for error in corrupt.values():
            raise error
        return markers

    def readable(self) -> tuple[dict[ShardKey, ShardMarker], dict[str, CorruptMarkerError]]:
        """Return the whole markers there are now, and name → reason of the corrupt ones."""
        known = read_index(self._storage) if self._known is None else self._known
        versions = self._storage.versions(layout.MARKERS)
        files = [(name, version) for name, version in versions.items() if layout.shard_of(name)]
        new = [file for file in files if file not in known]
        with ThreadPoolExecutor(_READERS, "marker") as readers:
            found = dict(zip(new, readers.map(self._marker, new), strict=True))
        there = {file: found.get(file) or known.get(file) for file in files}
        corrupt = {
            name: error
            for (name, _), error in there.items()
            if isinstance(error, CorruptMarkerError)
        }
        self._known = {
            file: marker for file, marker in there.items() if isinstance(marker, ShardMarker)
        }
        markers = sorted(self._known.values(), key=lambda marker: marker.key)
        return {marker.key: marker for marker in markers}, corrupt

    def _marker(self, file: Versioned) -> ShardMarker | CorruptMarkerError | None:
        """Read a marker, or why it is corrupt; None if it went since it was listed."""
        name, _ = file
        try:
            data = self._storage.read(name)
        except DatasetError:
            if self._storage.exists(name):
                raise
            return None
        try:
            return parse_marker(name, data)
        except CorruptMarkerError as error:
            return error
