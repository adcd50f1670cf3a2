import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from samplers.flame import Bank
from samplers.flame.importing import import_bank
from synthgen.action_units import AUS
from synthgen.cli.commands import app
from synthgen.errors import BankError, OutputError, SynthgenError
from tests.support.flame_banks import bank_of, make_bank

SMIRKS = "the FLAME numbers are taken to be SMIRK's (--extractor names another network)"
UNNAMED = (
    "nothing gives the sha256 of each picture, so that rows are called by that of their numbers"
)
THE_TWELVE = (
    f"AUs: nothing names the 12, so they are taken to be {', '.join(AUS)}, in this order "
    "(--action-units names others)"
)


@pytest.fixture
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_bank(60)


def scale_note(made):
    high = f"{made.aus.max():.4g}"
    return (
        f"AUs: the highest value is {high}, so all are taken to be on the scale 0–5; give another "
        "--scale if it is not so"
    )


def same(bank, made):
    assert (bank.flame == made.flame).all()
    assert (bank.aus == made.aus).all()
    assert bank.action_units == made.action_units
    return bank


def test_arrays_of_an_npz_become_a_bank(made):
    np.savez("v.npz", flame=made.flame, aus=made.aus, source=np.array(made.sources))
    bank, notes = import_bank("v.npz", licence="CC0-1.0", measurer="people")
    assert same(bank, made).sources == made.sources
    assert notes == [
        "FLAME numbers: 'flame', in this order: 50 expression, 2 eyelids, 3 jaw",
        THE_TWELVE,
        scale_note(made),
        SMIRKS,
    ]
    assert (bank.about.extractor, bank.about.measurer) == ("smirk", "people")
    assert bank.about.licences == {"FLAME numbers and AUs": "CC0-1.0"}


def test_parts_of_an_expression_are_put_together(made):
    flame = made.flame
    np.savez(
        "v.npz",
        expression_params=flame[:, :50],
        eyelid_params=flame[:, 50:52],
        jaw_params=flame[:, 52:],
        aus=made.aus[:, [6, 2]],
        action_units=np.array(["AU12", "au04"]),
    )
    bank, notes = import_bank("v.npz", extractor="deca")
    assert (bank.flame == flame).all()
    assert (bank.aus == made.aus[:, [2, 6]]).all()
    assert bank.action_units.names == ("AU4", "AU12")
    assert notes == [
        "FLAME numbers: 'expression_params', 'eyelid_params', 'jaw_params', in this order: 50 "
        "expression, 2 eyelids, 3 jaw",
        f"AUs: the highest value is {bank.aus.max():.4g}, so all are taken to be on the scale 0–5; "
        "give another --scale if it is not so",
        UNNAMED,
    ]
    assert bank.about.extractor == "deca"


def test_one_array_holds_both_or_lies_beside_the_other(made):
    np.save("both.npy", np.hstack([made.flame, made.aus]))
    np.save("flame.npy", made.flame)
    np.save("aus.npy", made.aus)
    bank, notes = import_bank("both.npy")
    same(bank, made)
    assert notes[0] == (
        "the first 55 columns are taken for FLAME numbers (50 expression, 2 eyelids, 3 jaw), the "
        "other 12 for AUs"
    )
    assert same(import_bank("flame.npy", aus="aus.npy")[0], made).sources == bank.sources


def test_tables_name_their_columns(made):
    names = [f"exp_{n}" for n in range(50)] + ["eyelid_0", "eyelid_1", "jaw_0", "jaw_1", "jaw_2"]
    aus = [f" AU{int(au[2:]):02}_r" for au in AUS]
    occurrences = [f"AU{int(au[2:]):02}_c" for au in AUS]
    lines = [",".join([*names, *aus, *occurrences, "confidence", "file"])]
    lines += [
        ",".join([*map(repr, [*flame.tolist(), *row.tolist()]), *"0" * 12, "0.9", "anna.jpg"])
        for flame, row in zip(made.flame, made.aus, strict=True)
    ]
    Path("v.csv").write_text("\n".join(lines))
    bank, notes = import_bank("v.csv")
    same(bank, made)
    assert notes[0].startswith("FLAME numbers: exp_0 to exp_49, eyelid_0 to eyelid_1, jaw_0 to ")
    assert notes[1].startswith("AUs: AU01_r, AU02_r, AU04_r")
    assert notes[-1] == "quality: 'confidence'"
    assert (bank.quality == np.float32(0.9)).all()


@pytest.mark.parametrize("fixed", [True, False])
def test_lists_of_a_parquet_become_a_bank(made, fixed):
    width = 55 if fixed else -1
    table = pa.table(
        {
            "flame": pa.array(made.flame.tolist(), pa.list_(pa.float32(), width)),
            "source": ["anna.jpg"] * 60,
            **{f"{au}_measured": made.aus[:, place] for place, au in enumerate(AUS)},
            **dict.fromkeys(AUS, np.zeros(60)),
        }
    )
    pq.write_table(table, "v.parquet")
    bank, notes = import_bank("v.parquet")
    same(bank, made)
    assert (
        "'source' does not hold the sha256 of each picture, so that rows are called by that of "
        "their numbers" in notes
    )
    assert len(set(bank.sources)) == 60
    assert b"anna" not in pa.BufferReader(pq.read_table("v.parquet").schema.serialize()).read()


def test_other_scales_are_said(made):
    np.savez("v.npz", flame=made.flame, aus=made.aus / 5)
    bank, notes = import_bank("v.npz")
    assert np.abs(bank.aus - made.aus).max() < 1e-5
    assert any("on the scale 0–1 and multiplied by 5; give another --scale" in n for n in notes)
    low, _ = import_bank("v.npz", scale=5)
    assert np.abs(low.aus - made.aus / 5).max() < 1e-6


def test_repeated_rows_are_kept_once(made):
    np.savez("v.npz", flame=np.tile(made.flame, (2, 1)), aus=np.tile(made.aus, (2, 1)))
    bank, notes = import_bank("v.npz")
    same(bank, made)
    assert "60 rows are the same as earlier ones; one of each is kept" in notes


def test_numbers_that_smirk_never_gives_are_told(made):
    flame = made.flame.copy()
    flame[:3, 50], flame[4, 52], flame[5:7, 54] = 1.5, -0.1, 0.5
    np.savez("v.npz", flame=flame, aus=made.aus)
    _, notes = import_bank("v.npz")
    for text in (
        "3 of 60 rows have eyelids outside [0, 1]",
        "1 of 60 rows have a jaw that opens below 0",
        "2 of 60 rows have a jaw beyond 0.2 to the side",
    ):
        assert f"{text}, which SMIRK never gives; they are kept as they are" in notes


def refused(**arrays):
    np.savez("v.npz", **arrays)
    with pytest.raises(BankError) as error:
        import_bank("v.npz")
    return str(error.value)


def test_what_cannot_become_a_bank_is_refused_in_a_sentence(made):
    flame, aus = made.flame, made.aus
    assert refused(flame=flame, other=aus[:, 0]) == (
        "v.npz holds no AUs, and a bank without AUs is of no use; it has flame, other: add columns "
        "such as AU12, or give a file of AUs by --aus"
    )
    assert refused(flame=flame[:, :53], aus=aus) == (
        "v.npz: an expression of FLAME has 55 numbers (50 expression, 2 eyelids, 3 jaw), and this "
        "is an array of shape [60, 53]"
    )
    assert refused(expression=flame[:, :50], jaw=flame[:, 52:], aus=aus) == (
        "v.npz has no numbers of 'eyelids'; FLAME numbers are 50 of 'expression', 2 of 'eyelids' "
        "and 3 of 'jaw', and it has expression, jaw, aus"
    )
    assert refused(flame=flame, aus=aus[:40]) == (
        "v.npz holds AUs of 40 rows, and v.npz FLAME numbers of 60; row by row they must belong "
        "together"
    )
    assert refused(flame=flame, aus=aus[:, :7]) == (
        "v.npz holds 7 AUs a row, and nothing names them; name each in its order (--action-units "
        "AU1,AU2,…, or texts 'action_units' in the file)"
    )
    broken = flame.copy()
    broken[7, 3] = np.nan
    assert refused(flame=broken, aus=aus) == (
        "v.npz: row 7 (from 0) holds nan at place 3; every number must be finite"
    )
    gone = aus.copy()
    gone[2, 6] = np.inf
    assert refused(flame=flame, aus=gone) == (
        "v.npz: row 2 (from 0) has AU12 at inf; every number must be finite"
    )
    assert refused(flame=flame, aus=(aus > 1).astype(float)) == (
        "v.npz: all AUs are 0 or 1, which says nothing of intensities; a bank needs them (--scale "
        "5 takes the values as they are)"
    )
    degrees = flame.copy()
    degrees[:, 52] *= 57.3
    assert refused(flame=degrees, aus=aus).startswith("v.npz: the jaw turns by up to ")
    assert refused(flame=1000 * flame, aus=aus).startswith(
        "v.npz: the expression's coefficients reach "
    )
    assert refused(flame=flame[:0], aus=aus[:0]) == (
        "v.npz holds no rows; a bank has a face at least"
    )
    twice = dict(zip(["AU12", "au_12"], aus.T, strict=False))
    assert refused(flame=flame, **twice) == "v.npz: AU12 and au_12 are the same AU"
    assert refused(vectors=flame, aus=aus) == (
        "v.npz has no FLAME numbers; they are an array 'flame' of 55, or 'expression' (50), "
        "'eyelids' (2) and 'jaw' (3), and it has vectors, aus"
    )


def test_files_that_may_hold_more_than_numbers_are_not_opened(made):
    with pytest.raises(BankError) as error:
        import_bank("v.pkl")
    assert str(error.value) == (
        "v.pkl is a pickle, which can hold more than numbers; save its arrays as .npz first"
    )
    with pytest.raises(BankError) as error:
        import_bank("v.txt")
    assert str(error.value) == (
        "v.txt is no file of FLAME numbers; it must end in .npz, .npy, .csv, .parquet"
    )
    os.mkfifo("pipe.csv")
    with pytest.raises(BankError, match=r"^the file pipe.csv is a named pipe"):
        import_bank("pipe.csv")
    np.savez("v.npz", flame=np.array([{"a": 1}] * 3, dtype=object), aus=made.aus[:3])
    with pytest.raises(BankError) as error:
        import_bank("v.npz")
    assert str(error.value) == (
        "v.npz: 'flame' holds Python objects, which unpickling alone reads; save it as numbers or "
        "texts"
    )
    for name in ("torn.npz", "torn.npy", "torn.parquet"):
        Path(name).write_bytes(b"\x93NUMPY torn")
        with pytest.raises(BankError, match=rf"^{name} (cannot be read|has a header of)"):
            import_bank(name)


def test_the_commands_go_together(made):
    runner = CliRunner()
    np.savez("v.npz", flame=made.flame, aus=made.aus)
    words = ["flame", "import", "v.npz", "--to", "bank.parquet", "--extractor", "smirk"]
    done = runner.invoke(app, words, catch_exceptions=False)
    assert done.stdout == "bank.parquet: 60 faces, 12 AUs; see synthgen flame inspect\n"
    assert done.stderr.splitlines()[1:] == [THE_TWELVE, scale_note(made), UNNAMED]
    assert len(Bank.read("bank.parquet")) == 60
    text = runner.invoke(app, ["flame", "inspect", "bank.parquet"], catch_exceptions=False).stdout
    assert text.startswith("bank.parquet: 60 faces of 60 pictures\nextractor   smirk (weights not")
    assert "gaps:\n- AU1: " in text
    text = runner.invoke(app, ["flame", "fit", "bank.parquet"], catch_exceptions=False).stdout
    assert "not to trust:\n" in text
    kept = Path("bank.parquet").read_bytes()
    with pytest.raises(OutputError) as error:
        runner.invoke(app, words, catch_exceptions=False)
    assert str(error.value) == (
        "bank.parquet is there already; choose another file with --to, or move it away"
    )
    assert Path("bank.parquet").read_bytes() == kept
    np.savez("v.npz", flame=made.flame)
    with pytest.raises(SynthgenError):
        runner.invoke(
            app, ["flame", "import", "v.npz", "--to", "no.parquet"], catch_exceptions=False
        )
    assert not os.path.exists("no.parquet")
    with pytest.raises(BankError, match=r"^bank.csv cannot be written; a bank ends in .parquet$"):
        runner.invoke(
            app, ["flame", "import", "none.npz", "--to", "bank.csv"], catch_exceptions=False
        )


def test_gaps_are_said_in_words():
    from samplers.flame.coverage import count_levels, find_gaps

    levels = np.repeat(np.arange(6), 12)
    aus = np.zeros((72, 12))
    aus[:, 0] = levels
    aus[:36, 6] = 3.4
    bank = bank_of(aus)
    assert count_levels(bank)[0].tolist() == [12] * 6
    assert count_levels(bank)[6].tolist() == [36, 0, 0, 36, 0, 0]
    gaps = find_gaps(bank)
    assert gaps[0] == "AU2: no face shows it"
    assert (
        "AU12: no face at level 1, no face at level 2, no face at level 4, no face at level 5"
        in gaps
    )
    assert gaps[-1] == "neutral: 0 faces without any AU"
    assert json.dumps(gaps)


def test_a_map_is_tried_on_faces_that_it_never_saw():
    from samplers.flame.fit import describe_told, try_map

    bank = make_bank(400)
    told = {one.name: one for one in try_map(bank)}
    assert all(one.read > 0.95 for one in told.values())
    noise = np.random.default_rng(0).permuted(bank.aus[:, 6])
    aus = bank.aus.copy()
    aus[:, 6], aus[:, 7] = noise, 0
    mixed = Bank.build(bank.flame, aus, bank.action_units, bank.sources, bank.about)
    told = {one.name: one for one in try_map(mixed)}
    assert told["AU12"].read < 0.1
    assert told["AU15"].read is None
    text = describe_told(mixed, list(told.values()))
    assert "- AU12: FLAME's numbers hardly tell it (R² " in text
    assert "- AU15: all faces have the same intensity; the map does not know it" in text
    with pytest.raises(BankError) as error:
        try_map(make_bank(20))
    assert str(error.value) == "bank holds 20 faces; a map is tried on 50 at least"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    ending=st.sampled_from([".npz", ".npy", ".csv", ".parquet"]),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
    cut=st.booleans(),
)
def test_a_torn_file_is_imported_or_refused(made, tmp_path, ending, place, byte, cut):
    path = tmp_path / f"torn{ending}"
    both = np.hstack([made.flame, made.aus])[:4]
    names = [f"flame_{place}" for place in range(55)] + list(AUS)
    match ending:
        case ".npz":
            np.savez_compressed(path, flame=made.flame[:4], aus=made.aus[:4])
        case ".npy":
            np.save(path, both)
        case ".csv":
            rows = [",".join(map(str, row)) for row in both.tolist()]
            path.write_text("\n".join([",".join(names), *rows]))
        case _:
            pq.write_table(pa.table(dict(zip(names, both.T, strict=True))), path)
    data = bytearray(path.read_bytes())
    at = int(place * len(data))
    if cut:
        del data[at:]
    else:
        data[at] = byte
    path.write_bytes(data)
    with suppress(BankError):
        assert len(import_bank(path)[0]) <= 4
