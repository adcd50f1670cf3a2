"""YAML as people write it: scalars as they stand there, within bounds, each with its line.

A scalar without quotes is what YAML 1.2's core schema says, and only where nobody could read it
otherwise: `no`, `1:30:00`, `010`, `1_000`, `0x1F` and dates are text. Tags and merge keys are not
read; depth, the number of values (those that aliases repeat included) and size are bounded while
reading.
"""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from synthgen.errors import ConfigError
from synthgen.foreign import excerpt, regular_file

LARGEST_TEXT = 8 << 20
"""Bytes of a YAML text that is read."""

MOST_VALUES = 300_000
"""Values of a YAML text, keys and lists among them."""

DEEPEST = 50
"""Lists and mappings of a YAML text that stand inside one another."""

Place = tuple[str | int, ...]
"""Keys and list positions that lead to a value."""

_Step = tuple[str, str, bool, int]
"""A mark of the text: its kind (a bracket, or '=' for a scalar), its text, no quotes, the line."""

# libyaml, which comes with PyYAML's wheels, reads a hundred times as fast.
_PARSER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False}
_BOOLEANS["FALSE"] = False
# Thirty digits are more than any key takes; Python itself refuses to read some thousand.
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,29})")
FLOAT = re.compile(
    r"[-+]?((0|[1-9][0-9]{0,29})(\.[0-9]{0,99})?|\.[0-9]{1,99})([eE][-+]?[0-9]{1,9})?\Z"
)
"""A number with a point or an exponent."""

_SPECIAL = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class YamlError(ConfigError):
    """A text is not YAML, or YAML that is not read; says the line."""


@dataclass(frozen=True, slots=True)
class Written:
    """A value as it stands in the text.

    Attributes:
        line: its line, or that of its key, from 1.
        text: a scalar without quotes as it is written; None for everything else.
    """

    line: int
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a YAML text.

    Attributes:
        data: mappings, lists, text, numbers, booleans and None; keys are text.
        written: place → how the value stands there.
        overrides: place → the override of the command line that put what stands there.
    """

    data: object
    written: dict[Place, Written]
    overrides: dict[Place, str] = field(default_factory=dict)


def read_yaml_file(path: Path, what: str) -> Document:
    """Read a YAML file: UTF-8, or UTF-16 with a byte order mark.

    Args:
        path: the file.
        what: what a sentence calls it, such as "the configuration".

    Raises:
        ConfigError: if it is no regular file, is too large, or cannot be read.
        YamlError: if it is not YAML; the sentence names the file, too.
    """
    regular_file(path, what, ConfigError, LARGEST_TEXT)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} {excerpt(path)} cannot be read: {error.strerror}") from error
    return read_yaml_bytes(content, excerpt(path))


def read_yaml_bytes(content: bytes, where: str) -> Document:
    """Read what a YAML file holds.

    Raises:
        YamlError: if it is not YAML; the sentence begins with `where`.
    """
    if content.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise YamlError(f"{where}: the file is UTF-32; save it as UTF-8")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise YamlError(
            f"{where}: line {line} is not {'UTF-16' if wide else 'UTF-8'}; save the file as UTF-8"
        ) from error
    try:
        return read_document(text)
    except YamlError as error:
        raise YamlError(f"{where}: {error}") from error


def read_yaml(text: str) -> object:
    """Read one YAML document.

    Raises:
        YamlError: if it is not YAML, or YAML that is not read.
    """
    return read_document(text).data


def read_document(text: str) -> Document:
    """Read one YAML document and remember how each value is written.

    Raises:
        YamlError: as `read_yaml`.
    """
    if len(text) > LARGEST_TEXT:
        raise YamlError(
            f"line 1: the text has {len(text):,} characters; at most {LARGEST_TEXT:,} are read"
        )
    _refuse_unfit(text, 1)
    _refuse_directives(text)
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=_PARSER):
            reader.read(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise YamlError(f"{place}not YAML: {excerpt(error.problem or error)}") from error
    except yaml.YAMLError as error:
        raise YamlError(f"not YAML: {excerpt(error)}") from error
    return Document(reader.data, reader.written)


def _refuse_unfit(text: str, line: int) -> None:
    """Refuse what no file name, terminal or UTF-8 file can take: control characters, surrogates."""
    if found := _UNFIT.search(text):
        line += text.count("\n", 0, found.start())
        raise YamlError(
            f"line {line}: the character U+{ord(found[0]):04X} is no text; leave it out"
        )


def _refuse_directives(text: str) -> None:
    """Refuse %TAG: it only serves tags, and libyaml compares each with all before it."""
    for number, line in enumerate(_lines(text), 1):
        if line.startswith("%TAG"):
            raise YamlError(f"line {number}: %TAG is not read; leave it out")
        if line.strip() and not line.startswith(("#", "%")):
            return


def _lines(text: str) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield text[start:end]
        start = end + 1


@dataclass(slots=True)
class _Open:
    """A list or a mapping that is not yet at its end, and where the next value goes."""

    place: Place
    into: list[object] | dict[str, object]
    key: str = ""
    keyed: bool = False
    line: int = 0
    anchor: str | None = None
    logged: int = 0


@dataclass(slots=True)
class _Reader:
    """Builds data from the events of a parser, without recursion.

    What stands inside an anchor is logged, and done again for each alias: a copy of its own, whose
    values count.
    """

    data: object = None
    written: dict[Place, Written] = field(default_factory=dict)
    stack: list[_Open] = field(default_factory=list)
    values: int = 0
    documents: int = 0
    anchors: dict[str, tuple[int, int] | None] = field(default_factory=dict)
    log: list[_Step] = field(default_factory=list)
    logging: int = 0

    def read(self, event: yaml.Event) -> None:
        """Take the next event of the parser."""
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise YamlError(f"line {line}: a second document begins; one is read")
        elif isinstance(event, yaml.AliasEvent):
            self._repeat(event.anchor, line)
        elif isinstance(event, yaml.ScalarEvent):
            self._refuse_tag(event, line)
            _refuse_unfit(event.value, line)
            self._anchored(("=", event.value, event.implicit[0], line), event.anchor)
        elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
            self._refuse_tag(event, line)
            kind = "[" if isinstance(event, yaml.SequenceStartEvent) else "{"
            self._anchored((kind, "", False, line), event.anchor)
        elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
            self._step(("]", "", False, line))

    def _refuse_tag(self, event: yaml.NodeEvent, line: int) -> None:
        tag = getattr(event, "tag", None)
        plain = isinstance(event, yaml.ScalarEvent) and tag == "!"
        if tag is not None and not plain:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            raise YamlError(
                f"line {line}: the tag {excerpt(shown, 80)} is not read; write the value without it"
            )

    def _anchored(self, step: _Step, anchor: str | None) -> None:
        if anchor is None:
            self._step(step)
            return
        self.logging += 1
        start = len(self.log)
        self._step(step)
        if step[0] == "=":
            self.logging -= 1
            self.anchors[anchor] = (start, len(self.log))
        else:
            self.anchors[anchor] = None
            self.stack[-1].anchor, self.stack[-1].logged = anchor, start

    def _repeat(self, anchor: str, line: int) -> None:
        if anchor not in self.anchors:
            raise YamlError(f"line {line}: there is no anchor &{excerpt(anchor, 80)} before this")
        span = self.anchors[anchor]
        if span is None:
            raise YamlError(f"line {line}: *{excerpt(anchor, 80)} stands inside of itself")
        self._bound(span[1] - span[0], line)
        for kind, text, plain, _ in self.log[slice(*span)]:
            self._step((kind, text, plain, line))

    def _bound(self, more: int, line: int) -> None:
        if self.values + more > MOST_VALUES:
            raise YamlError(
                f"line {line}: more than {MOST_VALUES:,} values, those that aliases repeat "
                "included; that is no configuration"
            )

    def _step(self, step: _Step) -> None:
        kind, text, plain, line = step
        if self.logging:
            self.log.append(step)
        if kind == "]":
            self._close()
            return
        self._bound(1, line)
        self.values += 1
        if self.stack and isinstance(self.stack[-1].into, dict) and not self.stack[-1].keyed:
            self._take_key(kind, text, plain, line)
        elif kind == "=":
            self._put(_resolved(text) if plain else text, Written(line, text if plain else None))
        else:
            self._open([] if kind == "[" else {}, line)

    def _open(self, into: list[object] | dict[str, object], line: int) -> None:
        if len(self.stack) == DEEPEST:
            raise YamlError(f"line {line}: more than {DEEPEST} lists and mappings inside others")
        place = self._put(into, Written(line))
        self.stack.append(_Open(place, into))

    def _close(self) -> None:
        closed = self.stack.pop()
        if closed.anchor is not None:
            self.logging -= 1
            self.anchors[closed.anchor] = (closed.logged, len(self.log))

    def _take_key(self, kind: str, text: str, plain: bool, line: int) -> None:
        top = self.stack[-1]
        if kind != "=":
            raise YamlError(f"line {line}: a list or a mapping is no key; a key is text")
        if plain and text == "<<":
            raise YamlError(f"line {line}: the merge key << is not read; write the keys out")
        if text in top.into:
            raise YamlError(f"line {line}: key {excerpt(repr(text), 80)} stands there twice")
        top.key, top.keyed, top.line = text, True, line

    def _put(self, value: object, written: Written) -> Place:
        if not self.stack:
            self.data, self.written[()] = value, written
            return ()
        top = self.stack[-1]
        if isinstance(top.into, list):
            place = (*top.place, len(top.into))
            top.into.append(value)
        else:
            place = (*top.place, top.key)
            top.into[top.key] = value
            written, top.keyed = Written(top.line, written.text), False
        self.written[place] = written
        return place


def _resolved(text: str) -> object:
    """Return what a scalar without quotes says."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text):
        return float(text)
    if found := _SPECIAL.fullmatch(text):
        return float(found[1] + found[2])
    return text
