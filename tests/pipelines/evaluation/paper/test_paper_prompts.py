"""Prompts of the paper's protocol, by hand and from files."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.evaluation.paper.prompts import handcrafted, read_prompts
from pipelines.procedural import traits_in
from synthgen.errors import ConfigError


@pytest.mark.parametrize("drawn", [True, False])
def test_each_skin_meets_each_age_once(drawn):
    prompts = handcrafted(drawn)
    pairs = Counter((one.traits["skin"], one.traits["age"]) for one in prompts)
    assert len(prompts) == 15
    assert set(pairs.values()) == {1}
    assert len(pairs) == 15
    assert Counter(one.traits["person"] for one in prompts) == {"man": 8, "woman": 7}
    assert len({one.text for one in prompts}) == 15


def test_prompts_for_drawn_faces_name_their_traits_in_words_that_these_know():
    for prompt in handcrafted(drawn=True):
        assert traits_in(prompt.text) == dict(prompt.traits)


def test_a_text_file_holds_a_prompt_a_line(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a man  in a park\n\n  a woman\n", encoding="utf-8")
    assert [(one.text, one.traits) for one in read_prompts(str(file), False, 0)] == [
        ("a man in a park", {}),
        ("a woman", {}),
    ]


def test_a_table_says_what_prompts_name(tmp_path):
    file = tmp_path / "prompts.csv"
    file.write_text('skin,prompt,age\npale,"a man, old",old\n,a woman,young\n', encoding="utf-8")
    first, second = read_prompts(str(file), False, 0)
    assert (first.text, first.traits) == ("a man, old", {"skin": "pale", "age": "old"})
    assert (second.text, second.traits) == ("a woman", {"age": "young"})


def test_captions_are_drawn_by_the_seed(tmp_path):
    texts = [f"a person number {number}" for number in range(40)]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"caption": [*texts, "  "]}), tmp_path / "data" / "train.parquet")
    pq.write_table(pa.table({"other": [1]}), tmp_path / "data" / "rejects.parquet")
    drawn = [one.text for one in read_prompts(str(tmp_path), False, 3)]
    assert len(set(drawn)) == 15
    assert set(drawn) <= set(texts)
    assert [one.text for one in read_prompts(str(tmp_path), False, 3)] == drawn
    assert [one.text for one in read_prompts(str(tmp_path), False, 4)] != drawn


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "a man\n", "{} holds 1 prompt; 2 to 150 are possible"),
        ("a.txt", "a man\nb\na  man\n", "{} holds a prompt twice: a man"),
        ("a.txt", "a\n" + "b" * 1001, "{}: prompt 2 has 1001 characters; 1 to 1000 are possible"),
        ("a.csv", "text,skin\na,b\n", "{} has no column 'prompt'; its columns are text, skin"),
        ("a.csv", "prompt,skin\na\n", "{}, line 2: it must have 2 fields"),
        ("a.csv", "prompt,skin\na,b,c\n", "{}, line 2: it must have 2 fields"),
    ],
)
def test_files_that_will_not_do_are_refused(tmp_path, name, content, said):
    file = tmp_path / name
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_prompts(str(file), False, 0)
    assert str(caught.value) == said.format(file)


def test_a_missing_file_and_too_few_captions_are_refused(tmp_path):
    with pytest.raises(ConfigError) as caught:
        read_prompts(str(tmp_path / "no.txt"), False, 0)
    assert str(caught.value) == (
        f"the file of prompts (--prompts) {tmp_path}/no.txt does not exist"
    )
    pq.write_table(pa.table({"caption": ["a man"]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigError) as caught:
        read_prompts(str(tmp_path), False, 0)
    assert str(caught.value) == (
        f"{tmp_path} holds 1 different caption (column caption of its Parquet files); at least 15 "
        "are needed"
    )
