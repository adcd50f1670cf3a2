"""An export's word on itself: a page for people, and a record that ends it."""

import json
from typing import Any

from synthgen import __version__
from synthgen.dataset.exporting.form import Form
from synthgen.dataset.markdown import table
from synthgen.foreign import excerpt


def describe(form: Form, identity: dict[str, Any]) -> dict[str, Any]:
    """Return the record of an export: what it is of, its columns, rows and licences."""
    source = form.source
    rows: dict[str, int] = {}
    for marker in source.markers:
        rows[marker.split] = rows.get(marker.split, 0) + marker.rows
    return {
        **identity,
        "synthgen_version": __version__,
        "dataset": {"name": source.name, "run": source.run, "url": source.url},
        "rows": rows,
        "aus": list(source.record.schema.aus),
        "emotions": form.categories(),
        "licences": dict(source.record.licences),
        "features": form.features,
    }


def page(form: Form, record: dict[str, Any]) -> str:
    """Write the export's README."""
    rows = ", ".join(f"{split} {number}" for split, number in record["rows"].items())
    numbered = ", ".join(f"{place} {name}" for place, name in enumerate(form.categories()))
    lines = [
        f"# {excerpt(form.source.name, 100)}, as {form.name}",
        "",
        f"Written by `synthgen export` from the dataset of run {form.source.run}, whose card says "
        f"how it was made. Rows: {rows}.",
        "",
        "```python",
        form.loading(),
        "```",
        "",
        "## Where columns go",
        "",
        table(("column", "place"), form.places().items()),
        "",
        f"AUs, in their order: {', '.join(record['aus'])}.",
        *([f"Numbers of `emotion`: {numbered}."] if numbered else []),
        "",
        "## Licences",
        "",
        *[f"- {excerpt(what)}: {excerpt(said)}" for what, said in record["licences"].items()],
    ]
    return _header(form) + "\n".join(lines).rstrip() + "\n"


def _header(form: Form) -> str:
    """Return the header by which `load_dataset` finds the splits, where it reads the form."""
    files = form.files()
    if files is None:
        return ""
    entries = [
        f"  - split: {json.dumps(split)}\n    path: {json.dumps(path)}"
        for split, path in files.items()
    ]
    return (
        "---\nconfigs:\n- config_name: default\n  data_files:\n" + "\n".join(entries) + "\n---\n\n"
    )
