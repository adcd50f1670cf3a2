import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.fineface.pipeline import au_batch
from synthgen.action_units import AUS

INTENSITY = st.floats(-10, 10, width=32)


@given(st.lists(st.dictionaries(st.sampled_from(AUS), INTENSITY), min_size=1, max_size=4))
def test_names_and_numbers_say_the_same(named: list[dict[str, float]]) -> None:
    numbers = [[row.get(name, 0.0) for name in AUS] for row in named]

    found = au_batch(named, len(named))

    assert found.dtype == torch.float32
    assert torch.equal(found, torch.tensor(numbers))
    assert torch.equal(found, au_batch(np.array(numbers), len(named)))


@given(st.lists(INTENSITY, min_size=12, max_size=12), st.integers(1, 5))
def test_one_vector_serves_all_prompts(vector: list[float], prompts: int) -> None:
    assert au_batch(vector, prompts).tolist() == [vector] * prompts
