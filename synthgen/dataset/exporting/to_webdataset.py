"""WebDataset: a tar file for each shard, with a picture, a label and a JSON file for each row."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from synthgen.dataset.exporting.form import Form, Shard, whole
from synthgen.dataset.exporting.values import ending, refuse_unwritable, rows_of
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import EMOTION, image_columns
from synthgen.errors import MissingDependencyError
from synthgen.installation import install_command


class WebDataset(Form):
    """`<split>-00000.tar`, one for each shard that has rows."""

    name = "webdataset"

    def __init__(self, source: Source, folder: Path) -> None:
        super().__init__(source, folder)
        refuse_unwritable(self.features, self.name)
        _library()

    def write(self, shard: Shard, tables: Iterator[pa.Table]) -> Mapping[str, Any]:
        """Write the shard's tar file; equal rows give equal bytes."""
        options = {"encoder": False, "user": "synthgen", "group": "synthgen", "mode": 0o644}
        # PAX is USTAR where names are short, and takes long ones too.
        form = {"mtime": 0, "format": "PAX_FORMAT"}
        with (
            whole(self.folder / f"{shard.name}.tar") as file,
            _library().TarWriter(file, **options, **form) as tar,
        ):
            for table in tables:
                for row, pictures in rows_of(table, self.features):
                    tar.write(self._sample(row, pictures))
        return {}

    def _sample(self, row: Mapping[str, Any], pictures: Mapping[str, Any]) -> dict[str, Any]:
        sample = {"__key__": row["sample_id"], "json": self.json.text(row).encode()}
        if row.get(EMOTION) is not None:
            sample["cls"] = str(row[EMOTION]).encode()
        for column, picture in pictures.items():
            if column == "image" or picture is not None:
                kind = ending(picture, column, row["sample_id"])
                sample[kind if column == "image" else f"{column}.{kind}"] = picture["bytes"]
        return sample

    def finish(self, shards: Sequence[tuple[Shard, Mapping[str, Any]]]) -> None:
        """Join nothing: each tar file stands alone."""

    def loading(self) -> str:
        """Return the code that reads the first split."""
        last = max(m.number for m in self.source.markers if m.split == self.splits()[0])
        return (
            "import webdataset\n\n"
            f'shards = "FOLDER/{self.splits()[0]}-{{00000..{last:05d}}}.tar"\n'
            'rows = webdataset.WebDataset(shards, shardshuffle=False).decode("pil")\n'
            'for image, values in rows.to_tuple("png;jpg;webp", "json"):\n'
            "    ..."
        )

    def places(self) -> Mapping[str, str]:
        """Return where columns go."""
        label = {EMOTION: "`.cls`, and in `.json`"} if self.categories() else {}
        others = {
            name: f"`.{name}.png`, `.jpg` or `.webp`; no file where it is null"
            for name in image_columns(self.features)
            if name != "image"
        }
        return {
            "sample_id": "the key: `<sample_id>.png`, …; and in `.json`",
            "image": "`.png`, `.jpg` or `.webp`: the encoded file as it is",
            **label,
            **others,
            "all others": "`.json`, by their names; lists and `identity` nested, null as null",
        }

    def files(self) -> Mapping[str, str]:
        """Return the tar files of each split."""
        return {split: f"{split}-*.tar" for split in self.splits()}


def _library() -> Any:
    try:
        import webdataset
    except ImportError as error:
        raise MissingDependencyError(
            "--format webdataset needs the package webdataset; "
            f"{install_command('webdataset')} brings it"
        ) from error
    return webdataset
