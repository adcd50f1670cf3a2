"""Shards that are signed: a C2PA manifest beside each file of pictures, made and read."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from synthgen import __version__
from synthgen.dataset import ShardMarker, Storage, layout, read_record
from synthgen.dataset.markers import read_markers
from synthgen.dataset.marks.containers import read_mark
from synthgen.dataset.marks.manifests import (
    Identity,
    Manifest,
    read_identity,
    read_manifest,
    sign,
)
from synthgen.dataset.marks.xmp import Mark
from synthgen.dataset.opening import reached
from synthgen.dataset.parquet import read_columns
from synthgen.dataset.statistics import in_order_of_splits
from synthgen.errors import DatasetError, MissingDependencyError, MissingFileError, SigningError
from synthgen.foreign import first_few, first_line
from synthgen.report.comparison import stored_config

_ROWS_AT_ONCE = 256
_MIXED = "compositeSynthetic"
"""Digital source of a file whose pictures say several."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Signatures of a dataset.

    Attributes:
        dataset: its folder or URL.
        signer: name on the certificate.
        written: manifests that were written.
        kept: manifests of this certificate that were there and hold.
    """

    dataset: str
    signer: str
    written: int
    kept: int


@dataclass(frozen=True, slots=True)
class Signatures:
    """Findings on the manifests of a dataset, each held against its file.

    Attributes:
        signed: manifests whose signature and checksum hold.
        trusted: those of them whose certificate comes from an authority that was named.
        signers: "name, organisation" → files that it signed.
        unsigned: files of pictures without a manifest, where others have one.
        broken: a sentence for each manifest that does not hold.
        unread: why manifests could not be read; None where they were, or where there are none.
    """

    signed: int = 0
    trusted: int = 0
    signers: dict[str, int] | None = None
    unsigned: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    unread: str | None = None


def sign_dataset(
    url: str,
    certificate: str | Path,
    key: str | Path,
    time_authority: str | None = None,
    tell: Callable[[int, int], None] = lambda done, files: None,
) -> Signed:
    """Sign each file of a dataset that holds pictures, where this signer has not yet.

    A manifest is written when its file was read whole, so that a call that is stopped goes on where
    it was. Only the manifests are written.

    Args:
        url: folder or URL of the dataset.
        certificate: file of the signer's certificates, its own first; PEM.
        key: file of the private key; PEM.
        time_authority: URL of an RFC 3161 authority; None: no time is stated.
        tell: takes how many files are done, and how many there are.

    Raises:
        SigningError: if certificate or key cannot be read or cannot sign.
        DatasetError: if the dataset cannot be read, or nothing says where its pictures come from.
        OutputError: if a manifest cannot be written.
    """
    identity = read_identity(certificate, key)
    storage = reached(url)
    files = list(_pictures(storage))
    written = 0
    for done, (marker, name) in enumerate(files):
        tell(done, len(files))
        if _holds(storage, name, identity):
            continue
        source = _source(storage, marker)
        with storage.open(name) as file:
            manifest = sign(identity, file, name, source, __version__, time_authority)
        storage.write(layout.manifest_file(name), manifest)
        written += 1
    tell(len(files), len(files))
    return Signed(url, identity.name, written, len(files) - written)


def read_signatures(
    storage: Storage, markers: Iterable[ShardMarker], anchors: bytes | None = None
) -> Signatures | None:
    """Read the manifests of a dataset; None where no file has one.

    Args:
        storage: the dataset.
        markers: its shards.
        anchors: certificates of authorities that are trusted, PEM; None: nobody.

    Raises:
        DatasetError: if the store fails.
    """
    files = [name for marker in markers for name in _files(marker)]
    there = set(_manifests(storage))
    if not there:
        return None
    signers: Counter[str] = Counter()
    trusted, broken = 0, []
    for name in files:
        if layout.manifest_file(name) not in there:
            continue
        try:
            found = _read(storage, name, anchors)
        except MissingDependencyError as error:
            return Signatures(unread=first_line(error))
        except (SigningError, MissingFileError) as error:
            broken.append(f"{layout.manifest_file(name)}: {first_line(error)}")
            continue
        if found.problems:
            problems = first_few(found.problems, 2)
            broken.append(f"{layout.manifest_file(name)} does not fit {name}: {problems}")
            continue
        trusted += found.trusted
        signers[", ".join(filter(None, (found.signer, found.organisation)))] += 1
    unsigned = tuple(name for name in files if layout.manifest_file(name) not in there)
    return Signatures(signers.total(), trusted, dict(signers), unsigned, tuple(broken))


def describe_signatures(found: Signatures, trust: bool) -> list[str]:
    """Return a line for each thing that is to be said of signatures.

    Args:
        found: what was read.
        trust: whether authorities were named.
    """
    if found.unread is not None:
        return [f"signatures were not read: {found.unread}"]
    lines = []
    for signer, number in sorted((found.signers or {}).items()):
        files = "file is" if number == 1 else "files are"
        lines.append(f"{number} {files} signed by {signer}, and as they were when signed")
    if found.signed and not trust:
        lines.append("anybody can make a certificate: --trust FILE names whose you believe")
    elif found.trusted < found.signed:
        lines.append(
            f"{found.signed - found.trusted} by a certificate that FILE does not vouch for"
        )
    if found.unsigned:
        lines.append(f"{len(found.unsigned)} not signed: {first_few(found.unsigned, 3)}")
    return [*lines, *found.broken]


def marked_images(storage: Storage, name: str) -> Iterator[tuple[str, Mark | None]]:
    """Read the mark of each image of a data file.

    Args:
        storage: the dataset.
        name: the file.

    Returns:
        For each row its sample's id, and the mark; None where the image has none.

    Raises:
        DatasetError: if the file cannot be read.
    """
    for batch in read_columns(storage, name, ["sample_id", "image"], batch_rows=_ROWS_AT_ONCE):
        images = batch.column("image").field("bytes")
        for sample_id, image in zip(batch.column("sample_id"), images, strict=True):
            yield sample_id.as_py(), read_mark(image.as_py())


def _pictures(storage: Storage) -> Iterator[tuple[ShardMarker, str]]:
    markers = in_order_of_splits(read_record(storage), read_markers(storage).values())
    for marker in markers:
        for name in _files(marker):
            yield marker, name


def _files(marker: ShardMarker) -> list[str]:
    """Return the names of a shard's files that hold pictures."""
    own = layout.data_file(*marker.key), layout.reject_image_file(*marker.key)
    return [name for name in own if name in marker.files]


def _manifests(storage: Storage) -> list[str]:
    folders = (layout.DATA, layout.REJECT_IMAGES)
    return [name for each in folders for name in storage.names(each) if layout.is_manifest(name)]


def _read(storage: Storage, name: str, anchors: bytes | None = None) -> Manifest:
    manifest = storage.read(layout.manifest_file(name))
    with storage.open(name) as file:
        return read_manifest(manifest, file, anchors)


def _holds(storage: Storage, name: str, identity: Identity) -> bool:
    """Return whether a file has a manifest of this certificate that fits it."""
    if not storage.exists(layout.manifest_file(name)):
        return False
    try:
        found = _read(storage, name)
    except SigningError:  # whatever lies there, it says nothing: a new one takes its place
        return False
    return not found.problems and found.serial == identity.serial


def _source(storage: Storage, marker: ShardMarker) -> str:
    """Return the digital source of a shard's pictures: what they say, else what makes such."""
    marks = (mark for _, mark in marked_images(storage, layout.data_file(*marker.key)))
    said = {mark.source for mark in marks if mark is not None}
    if said:
        return said.pop() if len(said) == 1 else _MIXED
    if read_record(storage).sources:
        raise DatasetError(
            f"{storage.url} was merged, and the images of "
            f"{layout.data_file(*marker.key)} bear no mark, so that "
            "nothing says from which digital source they come; sign the datasets it comes from"
        )
    return stored_config(storage).pipeline.digital_source(())
