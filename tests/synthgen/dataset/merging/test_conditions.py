import re
from pathlib import Path

import pyarrow as pa
import pytest
from tiny_dataset import COLUMNS

from synthgen.dataset.merging.conditions import holds, parse_condition
from synthgen.dataset.schema import DatasetSchema, arrow_schema, data_features
from synthgen.errors import ConfigError

FEATURES = data_features(DatasetSchema(("neutral", "happy"), ("age",), "png", COLUMNS))
SMILE = [0.0] * 6 + [3.0] + [0.0] * 5
ROWS = [
    {
        "emotion": 1,
        "active_error": 0.2,
        "aus": SMILE,
        "identity": {"age": "old"},
        "accepted": True,
        "seed": 2**63 - 1,
        "prompt": "a",
    },
    {
        "emotion": None,
        "active_error": None,
        "aus": [0.0] * 12,
        "identity": {"age": None},
        "accepted": False,
        "seed": 3,
        "prompt": "b",
    },
    {
        "emotion": 0,
        "active_error": 0.7,
        "aus": [0.0] * 12,
        "identity": {"age": "young"},
        "accepted": True,
        "seed": 0,
        "prompt": "c",
    },
]
TABLE = pa.Table.from_pylist(ROWS, schema=arrow_schema(FEATURES))

ALLOWED = (
    "allowed are columns, numbers, texts, lists, None, ==, !=, <, <=, >, >=, in, not in, is, "
    "is not, and, or, not and brackets, as in emotion == 'happy' and active_error < 0.5"
)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("emotion == 'happy' and active_error < 0.5", [0]),
        ("emotion == 'happy' or active_error > 0.5", [0, 2]),
        ("not (emotion == 'happy')", [2]),
        ("emotion != 'happy'", [2]),
        ("emotion is None", [1]),
        ("emotion is not None", [0, 2]),
        ("emotion in ['happy', 'neutral']", [0, 2]),
        ("emotion not in ('happy',)", [2]),
        ("aus.AU12 > 2", [0]),
        ("aus.AU12 == aus.AU1", [1, 2]),
        ("aus_measured.AU1 is None", [0, 1, 2]),
        ("identity.age in {'old'}", [0]),
        ("identity.age == 'young'", [2]),
        ("accepted", [0, 2]),
        ("not accepted", [1]),
        ("accepted == False", [1]),
        ("active_error == 0.7", [2]),
        ("active_error in [0.2, 0.7]", [0, 2]),
        ("0.1 < active_error <= 0.7", [0, 2]),
        ("0.5 > active_error", [0]),
        ("active_error > -1", [0, 2]),
        ("active_error < 1e400", [0, 2]),
        ("seed == 9223372036854775807", [0]),
        ("seed < 5.0", [1, 2]),
        ("prompt >= 'b'", [1, 2]),
        ("prompt == 'b; __import__(\"os\")'", []),
        ("not " * 300 + "accepted", [0, 2]),
    ],
)
def test_a_condition_keeps_the_rows_it_says(text, rows):
    condition = parse_condition(text, FEATURES)
    assert holds(condition, TABLE).nonzero()[0].tolist() == rows
    needed = TABLE.select(sorted(condition.needs))
    assert holds(condition, needed).nonzero()[0].tolist() == rows


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('touch x')",
        "().__class__.__bases__[0]",
        "lambda: accepted",
        "active_error < 1 if accepted else 2",
        "f'{prompt}' == 'x'",
        "[x for x in prompt]",
        "open('x')",
        "1 < 2",
        "a.b.c == 1",
        "'happy' in emotion",
    ],
)
def test_nothing_is_evaluated_and_other_forms_are_refused(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        parse_condition(text, FEATURES)
    assert str(caught.value).endswith(f" is not understood; {ALLOWED}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("((((", f"--where: '((((' is no condition; {ALLOWED}"),
        ("", f"--where: '' is no condition; {ALLOWED}"),
        ("prompt == '\udc80'", f"--where: \"prompt == '\\\\udc80'\" is no condition; {ALLOWED}"),
        ("x" * 2001, "--where has 2001 characters; at most 2000 are read"),
        ("colour == 1", "--where: there is no column 'colour'; there are " + ", ".join(FEATURES)),
        (
            "emotion == 'angry'",
            "--where: emotion is never 'angry'; it is one of neutral, happy",
        ),
        (
            "emotion == 'hapy'",
            "--where: emotion is never 'hapy'; did you mean 'happy'? It is one of neutral, happy",
        ),
        ("emotions == 1", "--where: there is no column 'emotions'; did you mean 'emotion'? There "
         "are " + ", ".join(FEATURES)),
        ("identity.aeg == 'x'", "--where: 'identity.aeg' is no slot; did you mean 'age'? There "
         "are identity.age"),
        ("emotion == 1", "--where: emotion holds categories and is compared with 1"),
        (
            "emotion < 'happy'",
            "--where: emotion is compared by ==, !=, in and not in alone: its values have no order",
        ),
        ("emotion", "--where: emotion alone is no condition; compare it with a value, as in "
         "emotion == 'neutral'"),
        ("emotion == None", "--where: emotion is compared with None; write emotion is None"),
        ("emotion is 'happy'", "--where: `is` goes with None alone; compare values by =="),
        ("active_error < '1'", "--where: active_error holds numbers and is compared with '1'"),
        ("seed < 9223372036854775808", "--where: seed holds whole numbers below 2^63 and is "
         "compared with 9223372036854775808"),
        ("attempt < 0.5", "--where: attempt holds whole numbers below 2^63 and is compared with "
         "0.5"),
        ("accepted == 1", "--where: accepted holds True or False and is compared with 1"),
        ("prompt in 'abc'", "--where: `prompt in` wants a list with values, as in prompt in "
         "['text']"),
        ("prompt == seed", "--where: prompt holds texts and seed numbers; they cannot be compared"),
        ("aus > 3", "--where: aus holds 12 numbers; name one, as in aus.AU1, aus.AU2, aus.AU4, "
         "aus.AU26"),
        ("identity.hair == 'x'", "--where: 'identity.hair' is no slot; there are identity.age"),
        ("image == 'x'", "--where: 'image' holds no numbers, texts or labels to compare"),
    ],
)  # fmt: skip
def test_what_is_no_condition_is_refused_with_one_sentence(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_condition(text, FEATURES)
    assert str(caught.value) == message


def test_the_conditions_of_the_documentation_are_conditions():
    text = (Path(__file__).parents[4] / "docs" / "joining.md").read_text()
    (block,) = (part for part in text.split("```\n") if part.startswith("accepted and "))
    shown = [*block.splitlines(), *re.findall(r'--where "(.*)"', text)]
    assert len(shown) == 4
    for condition in shown:
        assert parse_condition(condition, FEATURES).needs
