"""Mutated copies of the example configurations, and what a command made of one."""

import contextlib
import copy
import io
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from hypothesis import strategies as st
from prior_sections import SECTIONS

from synthgen.cli.commands import main
from synthgen.config.yaml_text import read_yaml

EXAMPLES = {
    file.stem: read_yaml(file.read_text(encoding="utf-8"))
    for file in sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
}
GONE = object()

NUMBERS = (
    0, 1, 2, -1, 3, 7, 1000, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**18, 10**30,
    0.5, -0.0, 1e-320, 5e-324, 1e-9, 0.1, 0.999, 1.0, 1.5, 2.5, 100.0, 1e6, 1e38, 1e300, 1.7e308,
    float("inf"), float("-inf"), float("nan"), True, False, None,
)  # fmt: skip
TEXTS = (
    "", " ", "x", "a b", "no", "1e3", "1:30:00", "010", "2024-13-45", "auto", "mini", "grid",
    "neutral", "happy", "AU12", "AU7", "au12", "train", "Train", "all", "..", "../x", "a/b", "CON",
    "nul", "-x", ".hidden", "{", "}", "{}", "{age}", "{age!r}", "{0}", "{{x}}", "é", "e\u0301",
    "訓練", "🙂", "\u202e", "\u200b", "\u00a0", "\ufeff", "\t", "\n", "a\nb", "%s", "%", "~",
    "$HOME", "'", '"', "\\", "`", "<b>", "[x]", "*", "?", "x" * 300, "ü" * 5000, "local",
    "auto:6379",
    "null", "true", "None", "nan", "inf", "0", "-1", "active", "3-5", "A", "E-A", "<<", "=",
    "!!int",
    "replace", "fail", "drop", "keep_best", "identity", "procedural", "emotions", "prompts",
    "faceid",
    "sobol", "common", "webp", "jpeg", "json", "centered", "mediapipe", "libreface", "insightface",
    "disfa-rates", "float16", "bfloat16", "base", "ddim",
)  # fmt: skip


def _nested(depth: int, leaf: object) -> object:
    value = leaf
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


SHAPES = (
    [], {}, [[]], [None], {"a": 1}, {"": 0}, [1, 2], ["x", "x"], {"AU12": 1.0}, {"train": 1.0},
    {"train": 0.5, "Train": 0.5}, {"x" * 300: 1.0}, {"é": 1.0}, {"..": 1.0}, {"low": 5, "high": 2},
    {"low": 0, "high": 0}, {"a/b": 1.0}, _nested(40, 1), _nested(70, 1), list(range(3000)),
    {f"k{n}": n for n in range(2000)}, [f"v{n}" for n in range(5000)], {"kind": "mini"},
    {"embedder": {"kind": "mini"}}, {"happy": 1e308, "sad": 1e308}, {"happy": 5e-324, "sad": 1},
)  # fmt: skip

# Keys that no example has, with values that may be right.
EXTRAS = (
    ("expressions.quotas", {"category": {"happy": 0.5}}),
    ("expressions.quotas", {"aus": {"AU12": {"0": 0.5, "3-5": 0.2}}}),
    ("expressions.quotas", {"joint": [{"category": "happy", "aus": {"AU12": 3}, "share": 1}]}),
    ("expressions.rules", [{"at_most": 0}]),
    ("expressions.rules", [{"at_least": 12}]),
    ("expressions.rules", [{"cap": "AU12", "at": -1}]),
    ("expressions.rules", [{"if": "AU12", "then": "AU15", "penalty": 0.5}] * 3),
    ("expressions.sampling", "sobol"),
    ("expressions.profile", "common"),
    ("expressions.spread", 1e308),
    ("expressions.allow_out_of_range", True),
    ("expressions.variants", False),
    ("expressions.blends", [{"of": ["happy", "sad"], "weight": 1e-300}]),
    ("identities.neutral_image", True),
    ("identities.noise", "identity"),
    ("identities.negative_prompt", "blurry"),
    ("identities.quotas", {"age": {"old": 0.9}}),
    ("identities.quotas", {"extra": {"": 1}}),
    ("identities.synthetic", {"min_distance": 0.99, "shrinkage": 1e-9}),
    ("identities.slots.age", {"old": 1e308, "young": 1e308}),
    ("identities.slots.age", {"old": 5e-324, "young": 1.0}),
    ("identities.slots.x", ["a"]),
    ("identities.expressions_per_identity", "grid"),
    ("identities.expressions_per_identity", 10**12),
    ("verify.policy.per_au_tolerance", {"AU1": 0, "AU2": None, "AU4": 1e308}),
    ("verify.policy.max_each_error", 1e-300),
    ("verify.policy.max_similarity_to_forbidden", 0.5),
    ("verify.identity", {"embedder": {"kind": "mini"}, "wanted": "mini", "forbidden": "mini"}),
    ("verify.fuse", False),
    ("verify.on_exhausted", "keep_best"),
    ("verify.on_exhausted", "fail"),
    ("verify.max_replacements", 1000),
    ("pipeline.batch_size", "auto"),
    ("pipeline.batch_size", 4096),
    ("pipeline.threads", 1024),
    ("pipeline.height", 10**9),
    ("pipeline.width", 8),
    ("pipeline.compile", True),
    ("output.shard_size", 1),
    ("output.splits", {"a": 0.999, "b": 0.001}),
    ("output.splits", {f"s{n}": 0.001 for n in range(1000)}),
    ("output.ids", "plain"),
    ("output.mark", "auto"),
    ("output.mark", False),
    ("cluster.actors", 100_000),
    ("cluster.gpus_per_actor", 1.5),
    ("cluster.address", "127.0.0.1:1"),
    ("cluster.log_format", "json"),
    ("cluster.verify_timeout", 1e-9),
    ("cluster.storage_patience", 0),
    ("cluster.cost_per_hour", 1e308),
)


INSERTS = (
    "\t", "\n", "&a ", "*a ", "!!int ", "<<: ", "[", "{", ": ", "- ", "\x00", "\ud800", "'",
    "%TAG ! x\n", "---\n", "#", "\u2028", "9" * 5000, "[" * 3000, "? ", "| ", "> ", "@",
)  # fmt: skip


def places(data: object, start: tuple = ()) -> Iterator[tuple]:
    """Yield the place of every value below a mapping or a list."""
    entries = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in entries:
        yield (*start, key)
        if isinstance(value, dict | list):
            yield from places(value, (*start, key))


def at(data: object, place: tuple) -> object:
    """Return the value at a place."""
    for key in place:
        data = data[key]
    return data


@st.composite
def mutated_texts(draw: st.DrawFn) -> tuple[str, str]:
    """Draw an example's name and the text of a mutated copy of it."""
    name = draw(st.sampled_from(sorted(EXAMPLES)))
    data = copy.deepcopy(EXAMPLES[name])
    for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2, 3]))):
        _mutate(draw, data)
    text = yaml.safe_dump(data, sort_keys=False, allow_unicode=draw(st.booleans()), width=10**6)
    for _ in range(draw(st.sampled_from([0] * 9 + [1, 2]))):
        text = _mutate_text(draw, text)
    return name, text


def _mutate(draw: st.DrawFn, data: dict) -> None:
    known = list(places(data))
    place = draw(st.sampled_from(known)) if known else None
    kind = draw(st.sampled_from(["value"] * 6 + ["extra"] * 4 + ["prior", "gone", "key", "swap"]))
    if kind == "extra":
        _set(data, *draw(st.sampled_from(EXTRAS)))
    elif kind == "prior":
        section = copy.deepcopy(draw(st.sampled_from(sorted(SECTIONS))))
        data["expressions"] = copy.deepcopy(SECTIONS[section])
    elif place is None:
        data["seed"] = 1
    elif kind == "value":
        at(data, place[:-1])[place[-1]] = copy.deepcopy(draw(_values(at(data, place))))
    elif kind == "gone":
        del at(data, place[:-1])[place[-1]]
    elif kind == "key":
        parent = at(data, place[:-1])
        if isinstance(parent, dict):
            parent[draw(st.sampled_from(TEXTS) | st.text(max_size=8))] = parent.pop(place[-1])
    else:
        other = draw(st.sampled_from(known))
        one, two = copy.deepcopy(at(data, place)), copy.deepcopy(at(data, other))
        if place != other[: len(place)] and other != place[: len(other)]:
            at(data, place[:-1])[place[-1]], at(data, other[:-1])[other[-1]] = two, one


def _set(data: dict, key: str, value: object) -> None:
    *parents, last = key.split(".")
    for parent in parents:
        child = data.get(parent)
        data[parent] = child if isinstance(child, dict) else {}
        data = data[parent]
    data[last] = copy.deepcopy(value)


def _values(now: object) -> st.SearchStrategy[object]:
    near: list[object] = [[now], {"a": now}, str(now), now]
    if isinstance(now, int | float) and not isinstance(now, bool):
        near += [-now, now + 1, now * 1000, now / 3, now * 1e300]
    if isinstance(now, list):
        near += [now + now, now[:1], now[::-1]]
    if isinstance(now, str):
        near += [now * 200, now.upper(), now + "{", now + " {x}", f" {now}"]
    return st.one_of(
        st.sampled_from(NUMBERS),
        st.sampled_from(TEXTS),
        st.sampled_from(SHAPES),
        st.sampled_from(near),
        st.text(max_size=12),
        st.floats(),
        st.integers(),
    )


def _mutate_text(draw: st.DrawFn, text: str) -> str:
    spot = draw(st.integers(0, len(text)))
    more = draw(st.sampled_from(INSERTS))
    return text[:spot] + more + text[spot + draw(st.sampled_from([0, 0, 1, 5])) :]


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code (None: it returned), what it printed."""

    code: int | None
    out: str
    err: str


def run_command(*arguments: str) -> Outcome:
    """Run the command line in this process, as the command `synthgen` does."""
    out, err = io.StringIO(), io.StringIO()
    before = sys.argv
    sys.argv = ["synthgen", *arguments]
    code: int | None = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.argv = before
    return Outcome(code, out.getvalue(), err.getvalue())


def files_below(folder: Path) -> set[str]:
    """Return the names of all files and folders below a folder."""
    return {
        os.path.join(top, name) for top, dirs, files in os.walk(folder) for name in dirs + files
    }
