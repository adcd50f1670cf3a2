import json
import os
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from samplers.flame import Bank, FlameExpression, flame_batch
from synthgen.action_units import ActionUnitSet
from synthgen.errors import BankError
from tests.support.flame_banks import ABOUT, make_bank


def test_a_bank_is_read_as_it_was_written(tmp_path):
    bank = make_bank(30, aus=ActionUnitSet(("AU4", "AU12", "AU45")))
    bank.write(tmp_path / "bank.parquet")
    read = Bank.read(tmp_path / "bank.parquet")
    assert (read.flame == bank.flame).all()
    assert (read.aus == bank.aus).all()
    assert (read.quality == bank.quality).all()
    assert read.sources == bank.sources
    assert read.action_units == bank.action_units
    assert read.about == bank.about
    assert read.digest == bank.digest
    assert len(read) == 30


def test_equal_banks_give_equal_bytes(tmp_path):
    make_bank(20).write(tmp_path / "a.parquet")
    Bank.read(tmp_path / "a.parquet").write(tmp_path / "b.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet", "b.parquet"]


def test_a_bank_has_the_columns_that_its_description_says(tmp_path):
    make_bank(20).write(tmp_path / "bank.parquet")
    schema = pq.read_schema(tmp_path / "bank.parquet")
    assert [(field.name, str(field.type)) for field in schema] == [
        ("flame", "fixed_size_list<element: float>[55]"),
        ("aus", "fixed_size_list<element: float>[12]"),
        ("source", "string"),
        ("quality", "float"),
    ]
    about = json.loads(schema.metadata[b"synthgen"])
    assert (about["format"], about["version"]) == ("flame-bank", 1)
    assert about["extractor"] == {"name": "smirk", "fingerprint": f"sha256:{'0' * 64}"}


def test_quality_may_be_unknown(tmp_path):
    bank = make_bank(3)
    quality = np.array([0.5, np.nan, 1.0])
    some = Bank.build(bank.flame, bank.aus, bank.action_units, bank.sources, ABOUT, quality)
    none = Bank.build(bank.flame, bank.aus, bank.action_units, bank.sources, ABOUT)
    some.write(tmp_path / "some.parquet")
    none.write(tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "some.parquet")["quality"].to_pylist() == [0.5, None, 1.0]
    assert np.isnan(Bank.read(tmp_path / "some.parquet").quality).tolist() == [False, True, False]
    assert Bank.read(tmp_path / "none.parquet").quality is None
    assert some.digest == none.digest == bank.digest


def test_the_digest_follows_numbers_and_networks():
    bank = make_bank(4)
    flame = bank.flame.copy()
    flame[2, 7] += 1
    others = [
        Bank.build(flame, bank.aus, bank.action_units, bank.sources, ABOUT),
        make_bank(4, seed=1),
        make_bank(5),
    ]
    assert len({bank.digest, *(other.digest for other in others)}) == 4


def test_expressions_are_equal_by_value():
    bank = make_bank(4)
    assert bank.expression(1) == FlameExpression(bank.flame[1].copy(), bank.sources[1])
    assert bank.expression(1) != bank.expression(2)
    assert bank.expression(1) != FlameExpression(bank.flame[1], "another")
    assert len({bank.expression(row % 2) for row in range(4)}) == 2


@pytest.mark.parametrize(
    "values",
    [
        np.ones((2, 55)),
        torch.ones(2, 55),
        [[1] * 55, [1] * 55],
        [FlameExpression(np.ones(55, np.float32), "a"), np.ones(55)],
    ],
)
def test_a_batch_of_expressions_is_float32(values):
    batch = flame_batch(values)
    assert batch.dtype == np.float32
    assert batch.shape == (2, 55)
    assert (batch == 1).all()


def test_one_expression_is_a_batch_of_one():
    one = FlameExpression(np.arange(55, dtype=np.float32), "a")
    assert (flame_batch(one)[0] == flame_batch(np.arange(55))[0]).all()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            np.ones((2, 53)),
            "x: an expression of FLAME has 55 numbers (50 expression, 2 eyelids, 3 jaw), and this "
            "is an array of shape [2, 53]",
        ),
        (
            np.ones(512),
            "x: an expression of FLAME has 55 numbers (50 expression, 2 eyelids, 3 jaw), and this "
            "is an array of shape [512]",
        ),
        (
            np.full((1, 55), np.nan),
            "x: row 0 (from 0) holds nan at place 0; every number must be finite",
        ),
        (
            np.full((1, 55), 1e39),
            "x: row 0 (from 0) holds 1e+39 at place 0; every number must be finite",
        ),
        (np.full((1, 55), "a"), "x: numbers are wanted, and these are of type <U1"),
    ],
)
def test_what_is_no_expression_is_refused(values, text):
    with pytest.raises(BankError) as error:
        flame_batch(values, "x")
    assert str(error.value) == text


def test_expressions_of_several_lengths_are_refused():
    with pytest.raises(BankError, match=r"^x: this is no array of numbers: "):
        flame_batch([[0.0] * 55, [0.0] * 54], "x")


def test_what_is_no_bank_is_refused():
    bank = make_bank(3)
    aus, flame = bank.aus.copy(), bank.flame.copy()
    aus[1, 6], flame[2, 3] = 5.5, np.inf

    def refused(**changed):
        given = {"flame": bank.flame, "aus": bank.aus, "sources": bank.sources, **changed}
        with pytest.raises(BankError) as error:
            Bank.build(action_units=bank.action_units, about=ABOUT, where="b.parquet", **given)
        return str(error.value)

    assert refused(aus=aus) == (
        "b.parquet: row 1 (from 0) has AU12 at 5.5; an intensity is in [0, 5]"
    )
    assert refused(flame=flame) == (
        "b.parquet: row 2 (from 0) holds inf at place 3; every number must be finite"
    )
    assert refused(aus=aus[:, :5]) == (
        "b.parquet: the AUs are an array of shape [3, 5] and type float32; beside 3 faces they "
        "must be numbers of shape [3, 12], one for each of AU1, AU2, AU4, AU5, AU6, AU9, AU12, "
        "AU15, AU17, AU20, AU25, AU26"
    )
    assert refused(sources=["anna.jpg"] * 3) == (
        "b.parquet: row 0 (from 0) has the source 'anna.jpg'; it must be the sha256 of the "
        "picture in 64 hexadecimal digits, never its name"
    )
    assert refused(sources=bank.sources[:2]) == "b.parquet holds 3 faces and 2 sources"
    assert refused(flame=bank.flame[:0], aus=aus[:0], sources=()) == (
        "b.parquet holds 0 faces; a bank has 1 to 1,000,000"
    )


def rewritten(path, change=None, **metadata):
    """Write a bank again with other columns or metadata."""
    make_bank(3).write(path)
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"synthgen"]) | metadata
    table = change(table) if change else table
    pq.write_table(table.replace_schema_metadata({"synthgen": json.dumps(about)}), path)


def replaced(name, column):
    def change(table):
        return table.set_column(table.column_names.index(name), name, column)

    return change


@pytest.mark.parametrize(
    ("change", "metadata", "text"),
    [
        (
            None,
            {"format": "faces"},
            "bank.parquet is no bank of expressions; synthgen flame bank makes one of photos, and "
            "synthgen flame import one of FLAME numbers with AUs beside them",
        ),
        (
            None,
            {"version": 2},
            "bank.parquet is a bank of version 2; this synthgen reads version 1",
        ),
        (
            None,
            {"action_units": None},
            "bank.parquet does not say which AUs it holds; a bank without AUs is of no use",
        ),
        (
            None,
            {"action_units": ["AU12", "AU4"]},
            "bank.parquet: its action_units are AU12, AU4; they must stand in the order of FACS's "
            "numbers",
        ),
        (
            None,
            {"extractor": "smirk"},
            "bank.parquet: extractor in its metadata is 'smirk'; it must be a mapping",
        ),
        (
            lambda table: table.drop_columns(["aus"]),
            {},
            "bank.parquet has no column 'aus'; a bank has one of each of flame, aus, source, "
            "quality",
        ),
        (
            replaced("flame", pa.array([[0.0] * 55] * 3, pa.list_(pa.float32()))),
            {},
            "bank.parquet: column 'flame' holds list<element: float>; a bank's holds "
            "fixed_size_list<item: float>[55]",
        ),
        (
            replaced("source", pa.array(["a" * 70] * 3)),
            {},
            "bank.parquet: column 'source' holds a text of 70 bytes; it must be the sha256 of a "
            "picture in 64 hexadecimal digits",
        ),
        (
            replaced("source", pa.array(["0" * 64, None, "0" * 64])),
            {},
            "bank.parquet: column 'source' has empty places; every face has a source",
        ),
    ],
)
def test_files_that_are_no_banks_are_refused(tmp_path, monkeypatch, change, metadata, text):
    monkeypatch.chdir(tmp_path)
    rewritten("bank.parquet", change, **metadata)
    with pytest.raises(BankError) as error:
        Bank.read("bank.parquet")
    assert str(error.value) == text


def test_places_that_are_no_files_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.parquet")
    with pytest.raises(BankError, match=r"^the bank pipe.parquet is a named pipe; it must be a"):
        Bank.read("pipe.parquet")
    with pytest.raises(BankError, match=r"^the bank none.parquet does not exist$"):
        Bank.read("none.parquet")
    with pytest.raises(BankError, match=r"^bank.npz cannot be written; a bank ends in .parquet$"):
        make_bank(2).write("bank.npz")
    os.mkdir("folder.parquet")
    with pytest.raises(BankError, match=r"^folder.parquet cannot be written: it is a folder$"):
        make_bank(2).write("folder.parquet")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255), cut=st.booleans())
def test_a_torn_bank_is_read_or_refused(tmp_path, place, byte, cut):
    path = tmp_path / "bank.parquet"
    make_bank(3).write(path)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] = byte
    path.write_bytes(data)
    with suppress(BankError):
        assert len(Bank.read(path)) == 3


def test_a_bit_that_flipped_in_the_numbers_is_noticed(tmp_path):
    path = tmp_path / "bank.parquet"
    made = make_bank(400)
    made.write(path)
    data = path.read_bytes()
    for place in (2_000, 20_000, 60_000):
        torn = bytearray(data)
        torn[place] ^= 1
        path.write_bytes(torn)
        with pytest.raises(BankError, match=r"bank.parquet cannot be read: "):
            Bank.read(path)


def test_a_description_that_no_bank_holds_is_not_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    long = replace(ABOUT, licences={"pictures": "x" * 3_000})
    with pytest.raises(BankError) as error:
        make_bank(3, about=long).write("bank.parquet")
    said = str(error.value)
    assert said.startswith("bank.parquet: pictures in its metadata is 'xxx")
    assert said.endswith("…; it must be text of at most 2,000 characters")
    assert not os.listdir()
