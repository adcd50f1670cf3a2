"""Lance: a table for each split, a fragment for each shard, one version."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa

from synthgen.dataset.exporting.form import Form, Shard
from synthgen.dataset.merging.sources import Source
from synthgen.dataset.schema import arrow_schema, image_columns
from synthgen.errors import MissingDependencyError
from synthgen.installation import install_command


class Lance(Form):
    """`<split>.lance`."""

    name = "lance"

    def __init__(self, source: Source, folder: Path) -> None:
        super().__init__(source, folder)
        _library()

    def write(self, shard: Shard, tables: Iterator[pa.Table]) -> Mapping[str, Any]:
        """Write the shard's fragment, which no version of the table holds yet."""
        schema = self._schema()
        stopped: list[BaseException] = []

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for table in tables:
                    yield from self._files(table).to_batches()
            except BaseException as error:  # lance makes an error of its own of every other
                stopped.append(error)
                raise

        reader = pa.RecordBatchReader.from_batches(schema, batches())
        try:
            fragment = _library().LanceFragment.create(str(self._table(shard.split)), reader)
        except Exception as failure:
            for error in stopped:
                raise error from None
            _raise_plainly(failure, self._table(shard.split))
        return {"fragment": fragment.to_json()}

    def _table(self, split: str) -> Path:
        return self.folder / f"{split}.lance"

    def _schema(self) -> pa.Schema:
        schema = arrow_schema(self.features).remove_metadata()
        for name in image_columns(self.features):
            place = schema.get_field_index(name)
            schema = schema.set(place, pa.field(name, pa.large_binary()))
        return schema

    def _files(self, table: pa.Table) -> pa.Table:
        """Put the bytes of pictures in their columns' place."""
        for name in image_columns(self.features):
            place = table.schema.get_field_index(name)
            files = [chunk.flatten()[0] for chunk in table.column(place).chunks]
            data = pa.chunked_array(files, pa.binary()).cast(pa.large_binary())
            table = table.set_column(place, name, data)
        return table.replace_schema_metadata(None)

    def finish(self, shards: Sequence[tuple[Shard, Mapping[str, Any]]]) -> None:
        """Make a table of each split's fragments, and delete what no fragment holds."""
        lance = _library()
        for split, parts in groupby(shards, key=lambda item: item[0].split):
            table = self._table(split)
            for folder in ("_versions", "_transactions"):
                shutil.rmtree(table / folder, ignore_errors=True)
            said = [kept["fragment"] for _, kept in parts]
            fragments = [lance.FragmentMetadata.from_json(json.dumps(text)) for text in said]
            operation = lance.LanceOperation.Overwrite(self._schema(), fragments)
            try:
                made = lance.LanceDataset.commit(str(table), operation)
            except Exception as failure:
                _raise_plainly(failure, table)
            known = {
                Path(file.path).name
                for fragment in made.get_fragments()
                for file in fragment.data_files()
            }
            for file in (table / "data").iterdir():
                if file.name not in known:
                    file.unlink()

    def loading(self) -> str:
        """Return the code that reads the first split."""
        return f'import lance\n\nrows = lance.dataset("FOLDER/{self.splits()[0]}.lance")'

    def places(self) -> Mapping[str, str]:
        """Return where columns go."""
        pictures = ", ".join(image_columns(self.features))
        names = ", ".join(self.categories())
        labels = {"emotion": f"its number: {names}, from 0"} if names else {}
        return {
            pictures: "a column of bytes: the encoded file as it is",
            **labels,
            "all others": "a column of their name and type",
        }


def _raise_plainly(failure: Exception, table: Path) -> NoReturn:
    """Raise the system's error that one of lance tells of, without lines of its own source."""
    found = re.search(r"\(os error (\d+)\)", str(failure))
    if found is None:
        raise failure
    raise OSError(int(found[1]), os.strerror(int(found[1])), str(table)) from failure


def _library() -> Any:
    try:
        import lance
        from lance import fragment
    except ImportError as error:
        raise MissingDependencyError(
            f"--format lance needs the package pylance; {install_command('lance')} brings it"
        ) from error
    return _Names(lance, fragment)


class _Names:
    """The modules of lance that are used."""

    def __init__(self, lance: Any, fragment: Any) -> None:
        self.LanceDataset = lance.LanceDataset
        self.LanceOperation = lance.LanceOperation
        self.LanceFragment = fragment.LanceFragment
        self.FragmentMetadata = fragment.FragmentMetadata
