"""The embedded people, by their name; a made store stands at their place."""

import pytest

from pipelines.faceid.section import IdentityCheck
from samplers.identities import read_store, write_store
from samplers.identities.faceid import FaceIdIdentitiesConfig
from synthgen.errors import StoreError
from tests.support.tiny_faces import make_store


@pytest.fixture
def people(tmp_path, monkeypatch):
    path = tmp_path / "embedded" / "people.parquet"
    monkeypatch.setattr("samplers.identities.store.MINI_PEOPLE", path)
    return path


def test_mini_is_a_name_and_not_a_path(people, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mini").mkdir()
    store = make_store(3)
    write_store(people, store)
    found = read_store("mini")
    assert found.fingerprint == store.fingerprint
    assert found.where == "mini"
    with pytest.raises(StoreError, match=r"^mini cannot be read as a dataset"):
        read_store("./mini")


def test_missing_people_are_said(people):
    with pytest.raises(StoreError) as caught:
        read_store("mini")
    assert str(caught.value) == (
        f"the embedded people {people} are missing; install synthgen again, or make them: "
        f"synthgen faces draw --people 200 --to {people}"
    )


def test_the_name_stays_where_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for store, absolute in (("mini", "mini"), ("faces.parquet", f"{tmp_path}/faces.parquet")):
        section = FaceIdIdentitiesConfig(source="faceid", store=store)
        assert section.with_absolute_paths().store == absolute
        check = IdentityCheck.model_validate(
            {"name": "faceid", "embedder": {"kind": "mini"}, "wanted": store, "forbidden": store}
        ).with_absolute_paths()
        assert (check.wanted, check.forbidden) == (absolute, absolute)
