"""Example configurations, as files of the user's own."""

from pathlib import Path

import synthgen
from synthgen.errors import ConfigError, OutputError

EXAMPLES = {
    "quickstart": "quickstart.yaml",
    "drawn": "drawn-faces.yaml",
    "sd21": "fineface-sd21.yaml",
    "faceid": "faceid-sd15.yaml",
    "faceid-mini": "faceid-mini.yaml",
}
"""Name of `synthgen init` → file under `examples/`."""


def write_example(name: str, to: Path | None) -> Path:
    """Write an example configuration, by default `<name>.yaml` in this folder.

    Raises:
        ConfigError: if there is no example of that name.
        OutputError: if the file is there already or cannot be written.
    """
    if name not in EXAMPLES:
        raise ConfigError(f"no example {name!r}; those that exist: {', '.join(EXAMPLES)}")
    path = to or Path(f"{name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example_file(name).read_text(encoding="utf-8"))
    except FileExistsError as error:
        raise OutputError(f"{path} is there already; choose another file with --to") from error
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    return path


def example_file(name: str) -> Path:
    """Find an example in the installed package, or in the checkout that is installed editable.

    Args:
        name: as for `synthgen init`.
    """
    package = Path(synthgen.__file__).parent
    packed = package / "examples" / EXAMPLES[name]
    return packed if packed.is_file() else package.parent / "examples" / EXAMPLES[name]
