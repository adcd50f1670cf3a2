"""Marks found in pictures and datasets: who says of itself that it is synthetic."""

import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from synthgen.dataset import layout
from synthgen.dataset.markdown import table
from synthgen.dataset.markers import read_markers
from synthgen.dataset.marks.containers import read_mark
from synthgen.dataset.marks.manifests import read_anchors
from synthgen.dataset.marks.xmp import Mark
from synthgen.dataset.opening import reached
from synthgen.dataset.run_record import read_record
from synthgen.dataset.statistics import in_order_of_splits
from synthgen.errors import PictureError
from synthgen.foreign import counted, first_few, regular_file
from synthgen.report.measuring import find_pictures, told
from synthgen.report.signing import (
    Signatures,
    describe_signatures,
    marked_images,
    read_signatures,
)

_LARGEST = 1 << 30
"""Bytes of a picture that is read."""

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class MarkedPicture:
    """One picture, and what it says of itself.

    Attributes:
        file: the picture, as it was named or found.
        mark: its mark; None where it has none that says a digital source.
    """

    file: str
    mark: Mark | None


@dataclass(frozen=True, slots=True)
class MarkedDataset:
    """The rows of a dataset, and what their images say of themselves.

    Attributes:
        dataset: its folder or URL.
        rows: images that were read.
        sources: digital source → images that say so.
        unmarked: images without a mark.
        others: some rows whose images name another sample.
        other: rows whose images name another sample.
        signatures: what the manifests beside its files say; None where there are none.
    """

    dataset: str
    rows: int
    sources: dict[str, int]
    unmarked: int
    others: tuple[str, ...]
    other: int
    signatures: Signatures | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """Pictures and datasets that were looked at, in the order in which they were named."""

    pictures: tuple[MarkedPicture, ...] = ()
    datasets: tuple[MarkedDataset, ...] = ()

    @property
    def all_synthetic(self) -> bool:
        """True where every image says that it is synthetic, and no statement is another's."""
        return all(one.mark is not None and one.mark.synthetic for one in self.pictures) and all(
            not one.unmarked
            and not one.other
            and not (one.signatures and one.signatures.broken)
            and all(Mark(source).synthetic for source in one.sources)
            for one in self.datasets
        )


def detect(
    named: Sequence[str], say: Callable[[str], None], trust: str | Path | None = None
) -> Detection:
    """Read the marks of pictures and datasets, and the manifests of these; no pixel is decoded.

    A mark says what its writer wanted to say: whoever saves a picture anew may lose it, and whoever
    means to can write or remove one.

    Args:
        named: files, folders of pictures, patterns, and folders or URLs of datasets.
        say: takes lines of progress.
        trust: file of the certificates of authorities that are trusted, PEM; None: of nobody.

    Raises:
        PictureError: if something named does not exist, or names no picture.
        DatasetError: if a dataset cannot be read.
        SigningError: if `trust` holds no certificate.
        MissingDependencyError: if `trust` is given and c2pa-python is not installed.
    """
    anchors = None if trust is None else read_anchors(trust)
    found = Detection()
    for name in named:
        if "://" in name or os.path.isfile(os.path.join(name, layout.RUN)):
            found = replace(found, datasets=(*found.datasets, _dataset(name, anchors)))
        else:
            files, _ = find_pictures([name])
            read = tuple(map(_picture, told(files, "look", say)))
            found = replace(found, pictures=(*found.pictures, *read))
    return found


def _picture(file: Path) -> MarkedPicture:
    regular_file(file, "picture", PictureError, _LARGEST)
    try:
        data = file.read_bytes()
    except OSError as error:
        raise PictureError(f"{file} cannot be read: {error.strerror}") from error
    return MarkedPicture(str(file), read_mark(data))


def _dataset(url: str, anchors: bytes | None) -> MarkedDataset:
    storage = reached(url)
    markers = in_order_of_splits(read_record(storage), read_markers(storage).values())
    sources: Counter[str] = Counter()
    others: list[str] = []
    unmarked = other = 0
    for marker in (marker for marker in markers if marker.rows):
        for sample_id, mark in marked_images(storage, layout.data_file(*marker.key)):
            if mark is None:
                unmarked += 1
                continue
            sources[mark.source] += 1
            # Merging may put a dataset's name before the ids that stand in the images.
            if mark.sample_id is None or not sample_id.endswith(mark.sample_id):
                other += 1
                others = [*others, sample_id][:_SHOWN]
    return MarkedDataset(
        dataset=url,
        rows=sum(sources.values()) + unmarked,
        sources=dict(sources),
        unmarked=unmarked,
        others=tuple(others),
        other=other,
        signatures=read_signatures(storage, markers, anchors),
    )


def describe_detection(found: Detection, trust: bool = False) -> str:
    """Return what was found as text: a table of the pictures, and some lines for each dataset.

    Args:
        found: what was found.
        trust: whether authorities were named.
    """
    parts = []
    if found.pictures:
        rows = [[one.file, *_said(one.mark)] for one in found.pictures]
        parts.append(table(["picture", "digital source", "sample", "written by"], rows))
    for one in found.datasets:
        lines = [f"{one.dataset}: {counted(one.rows, 'image')}"]
        lines += [f"  {number} {source}" for source, number in sorted(one.sources.items())]
        lines += [f"  {one.unmarked} without a mark"] if one.unmarked else []
        if one.other:
            several = "image names" if one.other == 1 else "images name"
            lines.append(f"  {one.other} {several} another sample: {first_few(one.others, _SHOWN)}")
        if one.signatures:
            lines += [f"  {line}" for line in describe_signatures(one.signatures, trust)]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def detection_json(found: Detection) -> str:
    """Return the same as JSON, a mapping with `all_synthetic`, `pictures` and `datasets`."""
    return json.dumps({"all_synthetic": found.all_synthetic, **asdict(found)}, indent=1)


def _said(mark: Mark | None) -> list[str]:
    if mark is None:
        return ["no mark", "–", "–"]
    return [mark.source, mark.sample_id or "–", mark.tool or "–"]
