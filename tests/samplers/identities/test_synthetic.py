import numpy as np
import pytest

from samplers.identities.store import FaceStore, read_store
from samplers.identities.synthetic import (
    fitting_distance,
    nearest,
    nearest_reached,
    new_people,
)
from synthgen.errors import ConfigError
from tests.support.tiny_faces import ABOUT, make_store


def people_of_few_traits(people, traits, seed=0):
    """Make a store whose people differ in few directions."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(people, traits)) @ draw.normal(size=(traits, 512))
    return FaceStore.build(rows, [f"p{n}" for n in range(people)], ABOUT, where="few.parquet")


def new(store, count, seed=3, distance: float | None = 0.7, shrinkage=0.1):
    return new_people(store, count, seed, min_distance=distance, shrinkage=shrinkage)


def test_new_people_keep_the_distance_to_everyone():
    store = people_of_few_traits(300, 40)
    made = new(store, 60, distance=0.5)
    real = made.embeddings @ store.embeddings.T
    among = made.embeddings @ made.embeddings.T - 2 * np.eye(60)
    assert max(real.max(), among.max()) <= 0.5 + 1e-6
    assert np.allclose(np.linalg.norm(made.embeddings, axis=1), 1, atol=1e-5)
    assert (made.about.embedder, made.about.synthetic) == ("sha256:toy", True)
    assert made.about.source == (
        "drawn with seed 3 from the statistics of 300 people, at a cosine distance of 0.5 or more "
        "from them and each other"
    )


def test_new_people_have_the_statistics_of_the_store():
    store = people_of_few_traits(400, 8)
    made = new(store, 150, distance=0.05, shrinkage=0.02)
    basis = np.linalg.svd(store.embeddings, full_matrices=False)[2][:8]
    assert (np.linalg.norm(made.embeddings @ basis.T, axis=1) ** 2).mean() > 0.9


def test_more_people_keep_the_earlier_ones():
    store = people_of_few_traits(100, 40)
    few, many = new(store, 5, distance=0.6), new(store, 25, distance=0.6)
    assert np.array_equal(few.embeddings, many.embeddings[:5])
    assert few.identity_ids == many.identity_ids[:5]
    assert not np.array_equal(few.embeddings, new(store, 5, seed=4, distance=0.6).embeddings)


def test_a_distance_that_cannot_be_kept_is_refused_in_bounded_time():
    store = people_of_few_traits(40, 2)
    with pytest.raises(ConfigError) as caught:
        new(store, 500, distance=0.9, shrinkage=0.001)
    assert str(caught.value).endswith(
        "of 500 new people keep a cosine distance of 0.9 to each other and to the 40 people of "
        "few.parquet: the next 2000 draws are all nearer to somebody; ask for fewer people, or for "
        "a smaller distance"
    )


def test_the_distance_that_is_named_would_do():
    store = read_store("mini")
    with pytest.raises(ConfigError) as caught:
        new(store, 500, seed=0, distance=0.7)
    assert str(caught.value) == (
        "only 3 of 500 new people keep a cosine distance of 0.7 to each other and to the 200 "
        "people of mini: the next 2000 draws are all nearer to somebody; ask for fewer people, or "
        "for a distance of 0.5"
    )
    assert len(new(store, 500, seed=0, distance=0.5)) == 500


def test_no_distance_is_named_where_trying_would_take_long(monkeypatch):
    monkeypatch.setattr("samplers.identities.synthetic._MOST_TRIED", 499)
    with pytest.raises(ConfigError, match=r"ask for fewer people, or for a smaller distance$"):
        new(read_store("mini"), 500, seed=0, distance=0.7)


def test_the_nearest_similarity_reached_is_that_of_all_pairs():
    store = people_of_few_traits(300, 40)
    made = new(store, 1100, distance=0.3)
    among = made.embeddings @ made.embeddings.T - 2 * np.eye(1100)
    largest = max((made.embeddings @ store.embeddings.T).max(), among.max())
    assert nearest_reached(store, made) == pytest.approx(largest, abs=1e-6)
    one = new(store, 1, distance=0.3)
    assert nearest_reached(store, one) == pytest.approx((one.embeddings @ store.embeddings.T).max())


def test_one_person_has_no_statistics():
    with pytest.raises(ConfigError) as caught:
        new(make_store(1, faces=3), 2)
    assert str(caught.value) == (
        "store holds 1 person; new people are drawn from the statistics of 2 or more"
    )


def test_the_nearest_row_is_found():
    rows = make_store(3000, seed=1).embeddings
    queries = rows[[5, 2999, 17]]
    found = nearest(queries, rows)
    assert found.rows.tolist() == [5, 2999, 17]
    assert found.similarity == pytest.approx(1, abs=1e-5)
    assert len(nearest(queries[:0], rows).rows) == 0


def test_the_distance_without_a_word_fits_the_store():
    store = read_store("mini")
    assert fitting_distance(store) == 0.44
    made = new(store, 500, distance=None)
    assert nearest(made.embeddings, store.embeddings).similarity.max() <= 0.56 + 1e-6
    assert "at a cosine distance of 0.44 or more" in made.about.source


def test_photographs_of_several_faces_keep_the_common_distance():
    store = make_store(50, faces=3)
    assert fitting_distance(store) == 0.7


def test_two_people_who_are_nearly_one_leave_a_distance():
    rows = np.ones((2, 512)) + 0.3 * np.eye(2, 512)
    store = FaceStore.build(rows, ["a", "b"], ABOUT, where="two.parquet")
    assert fitting_distance(store) == 0.01
