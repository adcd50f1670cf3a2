"""What YAML from outside may do to a command: end in one sentence, within bounds."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.training.vae import VAEConfig
from synthgen.config import dump_config, load_config, load_expressions, parse_config
from synthgen.config.loading import load_section
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import ConfigError, SynthgenError

REPOSITORY = Path(__file__).parents[3]
DRAWN = REPOSITORY / "examples" / "drawn-faces.yaml"


def bomb(levels: int, at: str) -> str:
    """Aliases of aliases: ten to the number of levels."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]"
        for n in range(1, levels)
    ]  # fmt: skip
    return "\n".join([*lines, f"{at}: *a{levels - 1}"])


def merge_bomb() -> str:
    lines = ["a0: &a0 {k: 1}"]
    lines += [f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)]
    return "\n".join(lines)


TOO_MANY = "more than 300,000 values, those that aliases repeat included; that is no configuration"

# What a file holds, and the sentence after its name.
TEXTS = {
    "a tag for integers": (
        "seed: !!int x",
        "line 1: the tag !!int is not read; write the value without it",
    ),
    "a tag for floats": (
        "name: a\nseed: !!float x",
        "line 2: the tag !!float is not read; write the value without it",
    ),
    "a tag for booleans": (
        "seed: !!bool x",
        "line 1: the tag !!bool is not read; write the value without it",
    ),
    "a tag for times": (
        "seed: !!timestamp x",
        "line 1: the tag !!timestamp is not read; write the value without it",
    ),
    "a tag for bytes": (
        "seed: !!binary x",
        "line 1: the tag !!binary is not read; write the value without it",
    ),
    "a tag for objects": (
        "seed: !!python/object/apply:os.getcwd []",
        "line 1: the tag !!python/object/apply:os.getcwd is not read; write the value without it",
    ),
    "a tag for sets": (
        "seed: !!set {a, b}",
        "line 1: the tag !!set is not read; write the value without it",
    ),
    "a tag of one's own": (
        "seed: !mine x",
        "line 1: the tag !mine is not read; write the value without it",
    ),
    "a directive for tags": (
        "# mine\n%TAG ! tag:example.org,2000:\n---\nseed: 1",
        "line 2: %TAG is not read; leave it out",
    ),
    "a merge key": (
        "seed: &s {a: 1}\nname: {<<: *s}",
        "line 2: the merge key << is not read; write the keys out",
    ),
    "a merge bomb": (merge_bomb(), "line 2: the merge key << is not read; write the keys out"),
    "an alias bomb": (bomb(9, "name"), f"line 6: {TOO_MANY}"),
    "an alias bomb at a prior": (
        bomb(9, "expressions: {prior") + "}",
        f"line 6: {TOO_MANY}",
    ),
    "an alias of itself": ("seed: &s [*s]", "line 1: *s stands inside of itself"),
    "an alias of its mapping": ("seed: &s {a: {b: *s}}", "line 1: *s stands inside of itself"),
    "an alias without anchor": ("seed: *s", "line 1: there is no anchor &s before this"),
    "brackets": ("seed: " + "[" * 3000, "line 1: more than 50 lists and mappings inside others"),
    "closed brackets": (
        "seed: " + "[" * 3000 + "]" * 3000,
        "line 1: more than 50 lists and mappings inside others",
    ),
    "braces": (
        "seed: " + "{a: " * 3000 + "}" * 3000,
        "line 1: more than 50 lists and mappings inside others",
    ),
    "dashes": ("- " * 3000 + "a", "line 1: more than 50 lists and mappings inside others"),
    "a key twice": ("seed: 1\nname: a\nseed: 2", "line 3: key 'seed' stands there twice"),
    "a key twice in other words": (
        'seed: 1\n"s\\x65ed": 2',
        "line 2: key 'seed' stands there twice",
    ),
    "a list as key": ("{[a]: 1}", "line 1: a list or a mapping is no key; a key is text"),
    "an alias as key": (
        "a: &a [1]\n? *a\n: 1",
        "line 2: a list or a mapping is no key; a key is text",
    ),
    "NUL": ("seed: 1\nname: a\0b", "line 2: the character U+0000 is no text; leave it out"),
    "NUL, escaped": (
        'seed: 1\nname: "a\\0b"',
        "line 2: the character U+0000 is no text; leave it out",
    ),
    "a bell": ('name: "\\a"', "line 1: the character U+0007 is no text; leave it out"),
    "a second document": ("seed: 1\n---\nseed: 2", "line 2: a second document begins; one is read"),
    "many values": ("seed:\n" + "- a\n" * 300_000, f"line 299999: {TOO_MANY}"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_what_no_configuration_needs_ends_in_one_sentence(tmp_path, kind):
    text, sentence = TEXTS[kind]
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {sentence}"


@pytest.mark.parametrize(
    "kind", ["a tag for integers", "a merge bomb", "brackets", "an alias bomb"]
)
def test_every_other_file_and_override_ends_so_too(tmp_path, kind):
    text, sentence = TEXTS[kind]
    path = tmp_path / "prior.yaml"
    path.write_text(text)
    for read in (load_expressions, lambda path: load_section(path, VAEConfig)):
        with pytest.raises(ConfigError) as caught:
            read(path)
        assert str(caught.value) == f"{path}: {sentence}"
    with pytest.raises(ConfigError) as caught:
        load_config(DRAWN, [f"expressions={text}"])
    assert str(caught.value).startswith("--set 'expressions=")
    assert str(caught.value).endswith(f": {sentence}")
    assert len(str(caught.value)) < 300


def test_lone_surrogates_are_refused_before_anything_is_written(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text('seed: 1\nname: "\\ud800"')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == (
        f"{path}: line 2, column 10: not YAML: found invalid Unicode character escape code"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(DRAWN, ["identities.template=a \udcff"])
    assert str(caught.value) == (
        "--set 'identities.template=a \\udcff': line 1: the character U+DCFF is no text; "
        "leave it out"
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_files_with_a_byte_order_mark_are_read(tmp_path, encoding):
    path = tmp_path / "run.yaml"
    text = DRAWN.read_text(encoding="utf-8").replace("a portrait", "ein Porträt")
    path.write_bytes(text.encode(encoding))
    assert load_config(path).identities.template.startswith("ein Porträt")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"seed: 1\nname: \xff", "line 2 is not UTF-8; save the file as UTF-8"),
        (b"\xff\xfes\x00e\x00e", "line 1 is not UTF-16; save the file as UTF-8"),
        (
            "seed: 1".encode("utf-16-le"),
            "line 1: the character U+0000 is no text; leave it out",
        ),
        ("seed: 1".encode("utf-32"), "the file is UTF-32; save it as UTF-8"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused(tmp_path, content, sentence):
    path = tmp_path / "run.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: {sentence}"


def test_a_configuration_is_a_regular_file_of_some_megabytes(tmp_path):
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    with large.open("wb") as file:
        file.truncate(5 << 30)
    for path, sentence in [
        (pipe, f"the configuration {pipe} is a named pipe; it must be a regular file"),
        (tmp_path, f"the configuration {tmp_path} is a folder; it must be a regular file"),
        (
            large,
            f"the configuration {large} has 5,368,709,120 bytes; at most 8,388,608 are read, so "
            "it is hardly what it is taken for",
        ),
    ]:
        with pytest.raises(ConfigError) as caught:
            load_config(path)
        assert str(caught.value) == sentence


def test_an_alias_is_a_copy_of_its_own(tmp_path):
    path = tmp_path / "prior.yaml"
    path.write_text(
        "prior: independent\naus: {AU1: &usual {rate: 5e-1, intensity: &i {high: 4}}, AU2: *usual, "
        "AU4: {rate: 1, intensity: *i}}\n"
    )
    prior = load_expressions(path)
    assert [au.rate for au in prior.rates()[:3]] == [0.5, 0.5, 1]
    assert [au.intensity.high for au in prior.rates()[:3]] == [4, 4, 4]


def test_what_is_repeated_is_a_copy():
    text = "a: &x {k: 1}\nb: *x"
    one, other = read_yaml(text).values()
    assert one == other == {"k": 1}
    assert one is not other


def test_text_is_taken_as_it_is_written(tmp_path):
    path = tmp_path / "run.yaml"
    words = ["no", "on", "1e3", "2024-13-45", "2024-05-01", "1:30:00", "010", "0x1F", "1_000",
             "20", "1.50", "true", "=", "y", ".5", "'null'", "9" * 900, "<<"]  # fmt: skip
    values = "".join(f"\n      - {word}" for word in words)
    text = DRAWN.read_text().replace("age: [young, middle-aged, old]", f"age:{values}")
    text = text.replace("person: [man, woman]", "person: {2: 1, no: 2, 1e3: 1}")
    path.write_text(text)
    config = load_config(path, ["identities.negative_prompt=1e3", "expressions.source=2024-01-01"])
    assert config.identities.slots["age"] == [word.strip("'") for word in words]
    assert config.identities.slots["person"] == {"2": 1, "no": 2, "1e3": 1}
    assert config.identities.negative_prompt == "1e3"
    assert config.expressions.source == "2024-01-01"
    stored = read_yaml(dump_config(config))
    assert parse_config(stored) == config


@pytest.mark.parametrize(
    ("key", "text", "sentence"),
    [
        ("seed", "1:30:00", "seed is 1:30:00; it must be a whole number, in plain decimal digits"),
        ("seed", "010", "seed is 010; it must be a whole number, in plain decimal digits"),
        ("seed", "0x1F", "seed is 0x1F; it must be a whole number, in plain decimal digits"),
        ("seed", "1_000", "seed is 1_000; it must be a whole number, in plain decimal digits"),
        ("seed", "1e3", "seed is 1e3; it must be a whole number, in plain decimal digits"),
        ("seed", "2024-05-01", "seed is 2024-05-01; it must be a whole number, in plain decimal "
         "digits"),
        ("seed", "9" * 5000, f"seed is {'9' * 79}…; it must be a whole number, in plain decimal "
         "digits"),
        ("seed", '"7"', "seed is '7'; it must be a whole number"),
        ("seed", "7.5", "seed is 7.5; it must be a whole number"),
        ("seed", "no", "seed is 'no'; it must be a whole number"),
        ("seed", "9" * 30, f"seed is {'9' * 30}; it must be below 9.22337e+18"),
    ],
)  # fmt: skip
def test_a_number_that_is_not_plain_is_refused_with_its_line(tmp_path, key, text, sentence):
    path = tmp_path / "run.yaml"
    path.write_text(DRAWN.read_text().replace("seed: 7", f"{key}: {text}"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: line 4: {sentence}"
    with pytest.raises(ConfigError) as caught:
        load_config(DRAWN, [f"{key}={text}"])
    assert str(caught.value).endswith(f": {sentence}")
    assert str(caught.value).startswith(f"--set {key}={text[:40]}")


def test_trainings_refuse_such_numbers_too():
    path = REPOSITORY / "examples" / "train" / "vae.yaml"
    with pytest.raises(ConfigError) as caught:
        load_section(path, VAEConfig, ["seed=1_000"])
    assert str(caught.value) == (
        "--set seed=1_000: seed is 1_000; it must be a number, in plain decimal digits"
    )


def test_switches_may_be_written_as_older_yaml_does(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(
        DRAWN.read_text().replace("  prior: emotions", "  prior: emotions\n  variants: no")
    )
    assert load_config(path).expressions.variants is False
    assert load_config(path, ["expressions.variants=On"]).expressions.variants is True
    path.write_text(path.read_text().replace("variants: no", "variants: 'no'"))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(caught.value) == (
        f"{path}: line 9: expressions.variants is 'no'; it must be true or false"
    )


def test_a_deep_override_is_refused():
    with pytest.raises(ConfigError) as caught:
        load_config(DRAWN, [".".join("a" * 60) + "=1"])
    name = ".".join("a" * 60)[:79]
    assert str(caught.value) == f"--set {name}…: 60 keys deep; at most 50 are read"


def test_a_large_value_is_never_shown_whole(tmp_path):
    path = tmp_path / "run.yaml"
    for key, value in [
        ("name", "x" * 1_000_000),
        ("name", "[" + "x, " * 100_000 + "x]"),
        ("y" * 1_000_000, "1"),
        ("expressions", "{prior: " + "x" * 1_000_000 + "}"),
        ("identities", "{source: prompts, template: '{" + "x" * 1_000_000 + "'}"),
    ]:
        path.write_text(f"{key}: {value}\n")
        with pytest.raises(SynthgenError) as caught:
            load_config(path)
        assert len(str(caught.value)) < 1000


def test_a_bomb_takes_a_command_neither_time_nor_memory(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(bomb(9, "name"))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    script = (
        "import re; from pathlib import Path; from synthgen.cli import main\n"
        "try: main()\n"
        "finally: print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "plan", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == f"error: {path}: line 6: {TOO_MANY}\n"
    assert int(done.stdout) < 500_000
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 5
