import json
from dataclasses import replace

import pytest
from tiny_dataset import make_record

from synthgen.dataset import Storage, read_record
from synthgen.dataset.run_record import differences, joined_hardware, parse_record
from synthgen.dataset.schema import Column, value_feature, vector_feature
from synthgen.errors import DatasetError, OutputError


def test_a_record_is_read_back():
    record = make_record(slots={"age": {"old": 1.5, "young": 1.0}})
    assert parse_record(record.to_json()) == record
    mixed = replace(record, hardware=("NVIDIA H200", "CPU"))
    assert parse_record(mixed.to_json()) == mixed
    assert record.configuration["name"] == "tiny"


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b"{}", "no 'schema'"),
        (b"[]", "it holds a list"),
        (b'{"schema": {}, "identity": 3}', "identity is a int"),
        (b'{"schema": {}, "identity": {"configuration": []}}', "configuration is a list"),
        (b'{"schema": {}, "identity": {"configuration": {"output": 1}}}', "output is a int"),
    ],
)
def test_a_corrupt_record_is_named(data, cause):
    with pytest.raises(DatasetError) as caught:
        parse_record(data)
    assert str(caught.value) == (
        f".synthgen/run.json is corrupt ({cause}); put it back from a copy, let `synthgen repair` "
        "make it again where it can prove it, or start anew with --overwrite"
    )


def test_a_folder_without_record_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError) as caught:
        read_record(Storage(str(tmp_path)))
    assert str(caught.value) == (
        f"there is no synthgen dataset in {tmp_path}: no .synthgen/run.json"
    )


def test_differences_name_the_keys():
    old = {"configuration": {"seed": 7, "pipeline": {"size": 128}}, "weights": {"a": "0" * 64}}
    new = {"configuration": {"seed": 8, "pipeline": {"size": 128, "noise": 0.5}}, "weights": {}}
    assert differences(old, old) == []
    assert differences(old, new) == [
        "seed: 7 → 8",
        f'weights.a: "{"0" * 38}… → nothing',
        "pipeline.noise: nothing → 0.5",
        "weights: nothing → {}",
    ]


def test_the_order_of_values_is_a_difference():
    old = {"configuration": {"slots": {"age": {"old": 1.0, "young": 1.0}}}}
    new = {"configuration": {"slots": {"age": {"young": 1.0, "old": 1.0}}}}
    assert differences(old, new) == ["order of slots.age: old, young → young, old"]


def test_tuples_and_lists_are_the_same_value():
    assert differences({"categories": ("a", "b")}, {"categories": ["a", "b"]}) == []


def test_a_record_says_by_which_version_of_the_data_it_was_begun():
    record = make_record()
    assert json.loads(record.to_json())["data_version"] == 2
    assert record.outdated is None
    values = json.loads(record.to_json())
    del values["data_version"]
    old = parse_record(json.dumps(values).encode())
    assert old.schema == replace(record.schema, data_version=1)
    assert old.outdated == (
        "was begun by an earlier version (synthgen 0.1.0, revision 0123abc), which orders labels "
        "and deals people of prompts out to splits in another way"
    )
    with pytest.raises(DatasetError) as caught:
        parse_record(json.dumps({**values, "data_version": 3}).encode())
    assert str(caught.value) == (
        ".synthgen/run.json was written by a later version of synthgen (data_version is 3; this "
        "one reads up to 2): use that one"
    )


def test_columns_of_few_datasets_are_kept_where_they_are():
    schema = replace(make_record().schema, asked=("sad",), au_columns=True, expressions=True)
    record = replace(make_record(), schema=schema)
    assert parse_record(record.to_json()) == record
    usual = json.loads(make_record().to_json())["schema"]
    assert not {"asked", "au_columns", "expressions", "levels"} & usual.keys()


def test_what_a_column_says_of_itself_is_kept_where_it_says_anything():
    plain = Column("brightness", value_feature("float32"), "ours")
    told = Column("pose", vector_feature(3), "drawn", True, "Yaw, pitch, roll.", by_pipeline=True)
    record = replace(make_record(), schema=replace(make_record().schema, columns=(plain, told)))
    read = parse_record(record.to_json()).schema.columns
    assert read == (plain, told)
    assert read[1].description == told.description
    assert replace(told, description="Other words.") == told
    first, second = json.loads(record.to_json())["schema"]["columns"]
    assert first.keys() == {"name", "feature", "of", "in_rejects"}
    assert second.keys() == {*first, "description", "by_pipeline"}


def test_an_older_record_knows_no_hardware():
    values = json.loads(make_record().to_json())
    del values["hardware"]
    assert parse_record(json.dumps(values).encode()).hardware == ()


@pytest.mark.parametrize(
    ("old", "new", "mixed", "joined"),
    [
        ((), ("CPU",), False, ("CPU",)),
        (("CPU",), ("CPU",), False, ("CPU",)),
        (("CPU",), ("NVIDIA H200",), True, ("CPU", "NVIDIA H200")),
        (("CPU", "NVIDIA H200"), ("NVIDIA H200",), False, ("CPU", "NVIDIA H200")),
    ],
)
def test_a_run_goes_on_with_the_hardware_that_it_had_and_others(old, new, mixed, joined):
    assert joined_hardware("out", old, new, mixed=mixed) == joined


def test_a_run_is_not_continued_on_other_hardware_unasked():
    with pytest.raises(OutputError) as caught:
        joined_hardware("out", ("NVIDIA A100", "NVIDIA H200"), ("CPU",))
    assert str(caught.value) == (
        "out was begun on NVIDIA A100 and NVIDIA H200 and would go on on CPU, whose bits differ; "
        "continue it on NVIDIA A100, or set cluster.mixed_hardware to true"
    )
