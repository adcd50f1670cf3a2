import re
from collections import Counter

import numpy as np
import pytest

from samplers import build_plan
from samplers.identities import FaceStore, write_store
from synthgen.config import parse_config
from synthgen.errors import ConfigError, StoreError
from tests.support.tiny_faces import ABOUT, make_store, random_embeddings


def configuration(store, samples=40, seed=11, splits=None, ids="run", **identities):
    return parse_config(
        {
            "name": "test",
            "seed": seed,
            "samples": samples,
            "output": {
                "path": "out",
                "splits": splits or {"train": 0.75, "test": 0.25},
                "ids": ids,
            },
            "expressions": {"prior": "emotions", "categories": ["neutral", "happy"]},
            "identities": {
                "source": "faceid",
                "store": str(store),
                "template": "a person {place}",
                "slots": {"place": {"at home": 3.0, "in a park": 1.0}},
                "expressions_per_identity": 2,
                **identities,
            },
            "pipeline": {"name": "procedural"},
        }
    )


@pytest.fixture
def store(tmp_path):
    """A store of 40 people, two faces each."""
    path = tmp_path / "faces.parquet"
    write_store(path, make_store(40, faces=2))
    return path


def owners(plan):
    """Return person → split, refusing a person in two."""
    found = {}
    for index in range(plan.samples):
        spec = plan.sample(index)
        assert found.setdefault(spec.identity_id, spec.split) == spec.split
    return found


def test_each_identity_is_a_person_of_the_store(store):
    plan = build_plan(configuration(store))
    specs = [plan.sample(index) for index in range(40)]
    made = make_store(40, faces=2)
    assert Counter(Counter(spec.identity_id for spec in specs).values()) == {2: 20}
    for spec in specs:
        name, _, faces = spec.identity_id.partition("@")
        assert re.fullmatch("[0-9a-f]{8}", faces)
        assert spec.faceid == made.face(name)
        assert spec.faceid.embedder == "sha256:toy"
        assert spec.prompt == f"a person {spec.identity['place']}"
    assert specs[0].faceid == specs[1].faceid
    assert plan.slots == ("place",)


def test_slots_are_drawn_by_weight(store):
    plan = build_plan(configuration(store, samples=40, expressions_per_identity=1))
    places = Counter(plan.identities.values.of(number)["place"] for number in range(4000))
    assert places["at home"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_specs_are_the_same_alone_in_bulk_and_in_a_longer_run(store):
    plan, longer = (build_plan(configuration(store, samples)) for samples in (40, 64))
    for split, size in plan.sizes.items():
        assert plan.specs(split, 0, size) == [plan.spec(split, place) for place in range(size)]
    assert [plan.sample(n) for n in range(40)] == [longer.sample(n) for n in range(40)]


def test_no_seed_moves_a_person_to_another_split(store):
    cuts = [owners(build_plan(configuration(store, 80, seed))) for seed in range(3)]
    assert cuts[0] == cuts[1] == cuts[2]
    assert Counter(cuts[0].values()) == {"train": 30, "test": 10}
    order = [
        [build_plan(configuration(store, 80, seed)).sample(n).identity_id for n in range(8)]
        for seed in (0, 1)
    ]
    assert order[0] != order[1]


def test_the_split_of_a_store_holds(tmp_path):
    splits = ["train"] * 12 + ["test"] * 4 + ["other"] * 9
    path = tmp_path / "faces.parquet"
    write_store(path, make_store(25, splits=splits))
    found = owners(build_plan(configuration(path, 32)))
    named = {name.partition("@")[0]: split for name, split in found.items()}
    assert named == {f"p{n}": splits[n] for n in range(16)}


def test_a_person_has_one_name_in_every_run_and_another_than_in_other_stores(store, tmp_path):
    """Joined datasets tell who is the same: by name and faces, whatever store they lie in."""
    more, other = tmp_path / "more.npz", tmp_path / "other.parquet"
    made = make_store(40, faces=2)
    order = np.random.default_rng(0).permutation(80)
    both = np.concatenate([made.embeddings[order] * 4, random_embeddings(10, 5)])
    names = [made.identity_ids[row] for row in order] + [f"stranger {n}" for n in range(10)]
    np.savez(more, embeddings=both, identity_ids=np.array(names))
    write_store(other, FaceStore.build(random_embeddings(40, 1), made.identity_ids[::2], ABOUT))
    plans = [
        build_plan(configuration(store, 80)),
        build_plan(configuration(store, 80, seed=9)),
        build_plan(configuration(more, 100, embedder=ABOUT.embedder)),
        build_plan(configuration(other, 80)),
    ]
    first, again, larger, others = (set(owners(plan)) for plan in plans)
    assert first == again
    assert first <= larger
    assert not first & others
    assert {name.partition("@")[0] for name in first} == {name.partition("@")[0] for name in others}


def test_a_store_made_of_rows_keeps_the_names_of_its_people(store, tmp_path):
    people = [person.qualified_id for person in map(make_store(40, faces=2).face, ("p1", "p2"))]
    path = tmp_path / "again.parquet"
    write_store(path, FaceStore.build(random_embeddings(2, 3), people, ABOUT))
    config = configuration(path, 2, splits={"train": 1.0}, expressions_per_identity=1)
    plan = build_plan(config)
    assert sorted(plan.sample(n).identity_id for n in range(2)) == people


def test_plain_ids_are_the_names_in_the_store(store):
    plan = build_plan(configuration(store, ids="plain"))
    assert plan.sample(0).identity_id in make_store(40, faces=2).identity_ids


def test_too_few_people_are_refused_with_split_and_numbers(store, tmp_path):
    with pytest.raises(ConfigError) as caught:
        build_plan(configuration(store, 100))
    assert str(caught.value) == (
        f"identities.store: {store} has 30 people for the split 'train', but samples: 100 with "
        "expressions_per_identity: 2 ask for 38; take a larger store, lower samples, show each 3 "
        "times or more, or set identities.synthetic"
    )
    path = tmp_path / "one.parquet"
    write_store(path, make_store(3, splits=["train"] * 3))
    with pytest.raises(ConfigError) as caught:
        build_plan(configuration(path, 10, neutral_image=True))
    assert str(caught.value) == (
        f"identities.store: {path} has 0 people for the split 'test', but samples: 10 with "
        "expressions_per_identity: 2 and a neutral image ask for 1; take a larger store, lower "
        "samples, or set identities.synthetic"
    )


def test_a_store_without_embedder_needs_its_name(tmp_path):
    np.save(tmp_path / "faces.npy", random_embeddings(30))
    plan = build_plan(configuration(tmp_path / "faces.npy", embedder="toy"))
    assert plan.sample(0).faceid.embedder == "toy"
    with pytest.raises(StoreError, match="does not say which recogniser made its embeddings"):
        build_plan(configuration(tmp_path / "faces.npy"))


def test_the_people_are_part_of_what_the_data_is_a_function_of(store, tmp_path):
    plan = build_plan(configuration(store))
    assert plan.identities.fingerprint() == {
        "identities.store": make_store(40, faces=2).fingerprint
    }
    assert plan.identities.licences() == {"face embeddings (toy)": "cc0"}
    other = tmp_path / "other.safetensors"
    write_store(other, make_store(40, faces=2))
    assert build_plan(configuration(other)).identities.fingerprint() == (
        plan.identities.fingerprint()
    )
    write_store(
        other, FaceStore.build(random_embeddings(40, 1), [str(n) for n in range(40)], ABOUT)
    )
    assert build_plan(configuration(other)).identities.fingerprint() != (
        plan.identities.fingerprint()
    )


def test_new_people_are_nobody_in_the_store_and_keep_their_order(store):
    options = {"synthetic": {"min_distance": 0.6}}
    plan, longer = (build_plan(configuration(store, n, **options)) for n in (40, 60))
    specs = [plan.sample(index) for index in range(40)]
    assert specs == [longer.sample(index) for index in range(40)]
    names = {spec.identity_id.partition("@")[0] for spec in specs}
    assert names == {f"new-{number:08d}" for number in range(20)}
    made = np.concatenate([spec.faceid.embeddings for spec in specs[::2]])
    assert (made @ make_store(40, faces=2).embeddings.T).max() <= 0.4 + 1e-6
    assert len(owners(plan)) == 20
    assert plan.identities.fingerprint() == longer.identities.fingerprint()
    assert plan.identities.licences() == {"face embeddings (toy)": "cc0"}
