from pathlib import Path

import pytest
import tiny_training as tiny

from pipelines.training.fineface.config import FineFaceTrainingConfig
from pipelines.training.provenance import check_same, training_fingerprint
from pipelines.training.vae import VAEConfig
from synthgen.errors import OutputError

PATH = Path("out/checkpoint.pt")


def counts(facts: dict | None = None, **changes) -> dict:
    config = VAEConfig.model_validate(tiny.vae(**changes))
    return training_fingerprint(config, **(facts or {"renderer": 2}))


def refusal(found: dict, wanted: dict) -> str:
    with pytest.raises(OutputError) as caught:
        check_same(found, wanted, PATH, VAEConfig)
    return str(caught.value)


def test_the_same_training_goes_on_whatever_reads_and_shows_it():
    free = {"workers": 3, "device": "auto", "checkpoint_every": 9, "log_every": 9, "held_out": 99}
    check_same(counts(**free), counts(), PATH, VAEConfig)


def test_cycles_may_be_added_but_not_changed():
    one, two = {"steps": 6, "learning_rate": 0.003}, {"steps": 4}
    check_same(counts(), counts(cycles=[one, two]), PATH, VAEConfig)
    assert refusal(counts(cycles=[one, two]), counts()).startswith(
        f"{PATH} was trained with cycles [{{"
    )


def test_a_key_that_came_later_had_its_default():
    old = counts()
    del old["compile"], old["model"]["layers_per_block"], old["cycles"][0]["schedule"]
    check_same(old, counts(), PATH, VAEConfig)
    assert refusal(old, counts(compile=True)) == (
        f"{PATH} was trained with compile False, now it is True; "
        "train into another folder with --to"
    )


def test_it_had_its_default_also_where_a_key_that_does_not_count_has_none():
    cycle = {"steps": 5, "learning_rate": 0.01}
    base = {"seed": 1, "batch_size": 4, "examples": 8, "base": "there", "data": tiny.DRAWN}
    config = FineFaceTrainingConfig.model_validate({**base, "cycles": [cycle]})
    old = training_fingerprint(config, "base")
    del old["cycles"][0]["painted"], old["reading"]
    longer = config.model_copy(update={"cycles": (*config.cycles, *config.cycles)})
    check_same(old, training_fingerprint(longer, "base"), PATH, FineFaceTrainingConfig)


def test_the_first_difference_is_named_where_it_is():
    end = "; train into another folder with --to"
    larger = {**tiny.DRAWN, "size": 72}
    assert refusal(counts(), counts(data=larger)) == (
        f"{PATH} was trained with data.size 64, now it is 72{end}"
    )
    assert refusal(counts(), counts({"renderer": 3})) == (
        f"{PATH} was trained with renderer 2, now it is 3{end}"
    )
    assert refusal(counts(), counts({"dataset": "ab"})) == (
        f"{PATH} was trained without dataset, now it is 'ab'{end}"
    )


def test_a_checkpoint_of_another_kind_is_refused():
    assert refusal({"text": {}}, counts()).startswith(f"{PATH} was trained without renderer")
