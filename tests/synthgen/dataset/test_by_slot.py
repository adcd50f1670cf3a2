import math
from dataclasses import replace

import pytest
from tiny_dataset import (
    CONFIG,
    HAPPY,
    PLAN,
    SCHEMA,
    Range,
    make_record,
    make_reject,
    make_result,
    make_row,
)

from synthgen.dataset import Storage, commit_shard, open_run, read_statistics
from synthgen.dataset.proportions import Proportion, chance_phi, clustered, phi
from synthgen.dataset.schema import Column, slot_read, slot_right, value_feature
from synthgen.dataset.slot_text import slot_sentences, slots_line, slots_section, slots_table

NEUTRAL = (0.0,) * 12
READ = replace(
    SCHEMA,
    columns=(
        *SCHEMA.columns,
        Column(slot_read("hair"), value_feature("string"), "slots"),
        Column(slot_right("hair"), value_feature("bool"), "slots"),
    ),
)


def findings(folder, rows, rejects=(), schema=SCHEMA, missing=0):
    storage = Storage(str(folder))
    plan = (Range("train", 0, 0, len(rows) + missing),)
    record = replace(make_record(plan[0].stop), schema=schema)
    open_run(storage, record, CONFIG, plan)
    result = make_result(plan[0], rows=rows, rejects=list(rejects), missing=missing)
    commit_shard(storage, schema, replace(result, attempts=len(rows) + len(rejects)))
    return read_statistics(storage).by_slot


def test_wilson_intervals_are_those_of_the_formula():
    # Wilson (1927): 8 of 10 gives 0.490 to 0.943.
    share = Proportion(8, 10)
    assert (round(share.low, 3), round(share.high, 3)) == (0.490, 0.943)
    assert (Proportion(0, 5).low, Proportion(5, 5).high) == (0.0, 1.0)
    assert math.isnan(Proportion(0, 0).low)
    assert Proportion(0, 0).text() == "–"
    assert share.text() == "80.0 % (49.0 % to 94.3 %)"
    assert Proportion(90, 100).differs_from(Proportion(60, 100))
    assert not Proportion(90, 100).differs_from(Proportion(0, 0))


def test_images_of_one_person_that_go_together_are_worth_fewer():
    # 10 people of 4 images each: all four count, or none; worth as many as people.
    assert clustered(40, 20, 10, 160, 80, 80).worth == pytest.approx(10)
    # Two of each four: nothing varies between people, and images are no more than images.
    assert clustered(40, 20, 10, 160, 80, 40) == Proportion(20, 40)
    assert clustered(10, 5, 10, 10, 5, 5) == Proportion(5, 10)
    assert clustered(40, 40, 10, 160, 160, 160) == Proportion(40, 40)
    wide, narrow = clustered(40, 20, 10, 160, 80, 80), Proportion(20, 40)
    assert wide.high - wide.low > narrow.high - narrow.low


def test_first_attempts_of_a_person_count_together(tmp_path):
    rows = [make_row(n, identity_id=f"p{n // 4}", attempt=n // 4 % 2) for n in range(40)]
    (age, _) = findings(tmp_path, rows).values
    assert (age.first.hits, age.first.total) == (20, 40)
    assert age.first.worth == pytest.approx(10)


def test_phi_is_the_correlation_of_two_columns():
    assert phi(5, 5, 5, 10) == 1.0
    assert phi(0, 5, 5, 10) == -1.0
    assert phi(2, 4, 5, 10) == 0.0
    assert math.isnan(phi(0, 0, 5, 10))
    # χ² of one degree of freedom exceeds 3.84 once in 20.
    assert chance_phi(100, 1) ** 2 * 100 == pytest.approx(3.841, abs=1e-3)
    assert chance_phi(100, 50) > chance_phi(100, 1)


def test_first_attempts_are_counted_by_slot_value(tmp_path):
    old, young = {"age": "old", "hair": "red"}, {"age": "young", "hair": "red"}
    rows = [make_row(n, identity=old) for n in range(40)]
    rows += [make_row(40 + n, identity=young, attempt=n % 2) for n in range(40)]
    found = findings(tmp_path, rows)
    kept = {each.name: (each.first, each.others) for each in found.values}
    assert kept["age 'old'"] == (Proportion(40, 40), Proportion(20, 40))
    assert kept["hair 'red'"] == (Proportion(60, 80), Proportion(0, 0))
    assert slot_sentences(found) == [
        "age 'old' differs from the slot's other values: 100.0 % (91.2 % to 100.0 %) of its first "
        "attempts were kept, 50.0 % (35.2 % to 64.8 %) of theirs",
        "age 'young' differs from the slot's other values: 50.0 % (35.2 % to 64.8 %) of its first "
        "attempts were kept, 100.0 % (91.2 % to 100.0 %) of theirs",
    ]


def test_aus_that_are_measured_unasked_more_often_at_one_value_are_told(tmp_path):
    old, young = {"age": "old", "hair": "red"}, {"age": "young", "hair": "red"}
    raised = (0.0, 0.0, 0.0, 0.0, 2.0) + (0.0,) * 7
    seen = {"aus": HAPPY, "aus_measured": HAPPY}
    rows = [make_row(n, identity=old, **seen) for n in range(40)]
    rows += [make_row(40 + n, identity=young, attempt=int(n < 20), **seen) for n in range(40)]
    # The first attempts of twenty of them were rejected; later ones and unknown people count not.
    rejects = [make_reject(40 + n, aus=HAPPY, aus_measured=raised) for n in range(20)]
    rejects.append(make_reject(41, aus=HAPPY, aus_measured=raised, attempt=1))
    rejects.append(make_reject(99, aus=HAPPY, aus_measured=raised))
    found = findings(tmp_path, rows, rejects)
    assert [(each.name, each.au, each.mine, each.others) for each in found.raised] == [
        ("age 'old'", "AU6", Proportion(0, 40), Proportion(20, 40)),
        ("age 'young'", "AU6", Proportion(20, 40), Proportion(0, 40)),
    ]
    assert (
        "AU6 is measured above 1 without being asked for in 50.0 % (35.2 % to 64.8 %) of the first "
        "attempts at age 'young', in 0.0 % (0.0 % to 8.8 %) of the slot's other values"
    ) in slot_sentences(found)


def test_samples_without_a_row_count_where_other_rows_tell_their_slots(tmp_path):
    rows = [make_row(0, identity_id="anna"), make_row(1, identity_id="ben", accepted=False)]
    rejects = [
        make_reject(2, identity_id="anna"),
        make_reject(2, identity_id="anna", attempt=1),
        make_reject(3, identity_id="carla"),
    ]
    found = findings(tmp_path, rows, rejects, missing=2)
    assert {each.name: each.first for each in found.values} == {
        "age 'old'": Proportion(1, 3),
        "hair 'red'": Proportion(1, 3),
    }
    assert slot_sentences(found) == [
        "no slot value's first attempts are kept more or less often than the others'",
        "1 sample without a row have identities of whom no other row tells the slots; their first "
        "attempts are not counted",
    ]


def test_rows_that_nobody_judged_are_no_first_attempts(tmp_path):
    found = findings(tmp_path, [make_row(n, accepted=None) for n in range(3)])
    assert [each.first for each in found.values] == [Proportion(0, 0)] * 2
    assert slots_section(found) == []
    assert slot_sentences(found) == []


def test_what_was_read_is_compared_with_what_was_asked_for(tmp_path):
    read = ["red", "red", "black", None]
    rows = [
        make_row(n, **{slot_read("hair"): value, slot_right("hair"): value and value == "red"})
        for n, value in enumerate(read)
    ]
    found = findings(tmp_path, rows, schema=READ)
    assert found.slots == {"hair": Proportion(2, 3)}
    assert slots_line(found) == ["slots shown as asked: hair 66.7 % (20.8 % to 93.9 %)"]
    head, table = slots_table(found)
    assert head[-1] == "shown as asked (95 %)"
    assert [row[-1] for row in table] == ["–", "66.7 % (20.8 % to 93.9 %)"]
    (section,) = slots_section(found)
    assert "by what a check has read in the image: `hair` 66.7 %." in section


def test_a_value_that_stands_with_an_au_is_told(tmp_path):
    smiles, rests = {"aus": HAPPY, "aus_measured": HAPPY}, {"aus": NEUTRAL, "aus_measured": NEUTRAL}
    rows = [
        make_row(n, **(smiles if n % 2 else rests), identity={"age": age, "hair": "red"})
        for n, age in enumerate(["young", "old"] * 10)
    ]
    found = findings(tmp_path, rows)
    assert found.ties[0].phi == 1.0 or found.ties[0].phi == -1.0
    assert {tie.au for tie in found.ties} == {"AU12", "AU25"}
    assert "age 'old' as asked stands with AU12 asked for more often: φ = +1.00" in slot_sentences(
        found
    )
    assert "age 'young' as asked stands with AU12 measured less often: φ = -1.00" in slot_sentences(
        found
    )


def test_what_so_few_rows_cannot_tell_is_said(tmp_path):
    rows = [
        make_row(n, aus=HAPPY if n < 3 else NEUTRAL, identity={"age": age, "hair": "red"})
        for n, age in enumerate(["young", "old"] * 3)
    ]
    *_, none, few = slot_sentences(findings(tmp_path, rows))
    assert none.startswith("no slot value is tied to an AU (|φ| ≥ ")
    assert few == ("|φ| below 1.00 cannot be told from chance in so few rows; 0.1 takes about 624")


def test_a_slot_of_names_is_left_out(tmp_path):
    rows = [make_row(n, identity={"age": f"age {n}", "hair": "red"}) for n in range(101)]
    found = findings(tmp_path, rows)
    assert [each.name for each in found.values] == ["hair 'red'"]
    assert "more than 100 values, not counted: age" in slot_sentences(found)


def test_the_card_has_a_section(tmp_path):
    found = findings(tmp_path, [make_row(n) for n in range(4)])
    (section,) = slots_section(found)
    assert section.splitlines() == [
        "## Identity slots",
        "",
        "| identity slot | value | samples | first attempts kept (95 %) |",
        "| --- | --- | --- | --- |",
        "| age | 'old' | 4 | 100.0 % (51.0 % to 100.0 %) |",
        "| hair | 'red' | 4 | 100.0 % (51.0 % to 100.0 %) |",
        "",
        "- No slot value's first attempts are kept more or less often than the others'.",
    ]


def test_a_run_without_shards_has_none(tmp_path):
    storage = Storage(str(tmp_path))
    open_run(storage, make_record(), CONFIG, PLAN)
    assert read_statistics(storage).by_slot.values == ()
