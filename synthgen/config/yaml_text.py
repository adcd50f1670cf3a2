"""YAML as people write it: numbers such as 1e-3, and no key twice."""

import re
from collections.abc import Hashable

import yaml


class _Loader(yaml.SafeLoader):
    """A safe loader that reads floats by YAML 1.2 and refuses a key that stands there twice."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        seen: set[tuple[str, str]] = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            key = (key_node.tag, key_node.value)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key_node.value!r} stands there twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(text: str) -> object:
    """Read one YAML document.

    Raises:
        yaml.YAMLError: if it is not YAML, or a mapping has a key twice.
    """
    return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)


def yaml_fault(error: yaml.YAMLError) -> str:
    """Say in one line what is wrong with a text that is not YAML, and where."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())
