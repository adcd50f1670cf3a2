"""Who is who in a store of any kind: known names are people, and nothing is guessed."""

from fractions import Fraction

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from datasets import Dataset
from safetensors.numpy import save_file

from pipelines.faceid.importing import import_store
from samplers.identities import FaceIdIdentities, Naming
from samplers.identities.faceid import FaceIdIdentitiesConfig
from samplers.identities.store import read_store
from samplers.shares import Partition
from synthgen.errors import StoreError
from tests.support.tiny_faces import random_embeddings

PEOPLE, FACES = 6, 4
NUMBERS = np.repeat(np.arange(PEOPLE), FACES)
NAMES = [f"subject_{number:02d}" for number in NUMBERS]
FILES = [f"faces/{name}/{row}.jpg" for row, name in enumerate(NAMES)]
SAY = (
    "name the column of people (synthgen faces import --people COLUMN, or identities.people in a "
    "configuration), or say that each row shows another person (--one-face-each, or "
    "identities.one_face_each: true)"
)


def store_of(folder, ending, **columns):
    """Write 6 people with 4 faces each, and columns beside them."""
    path = folder / f"faces{ending}"
    values = random_embeddings(PEOPLE * FACES)
    match ending:
        case ".npz":
            np.savez(path, embeddings=values, **columns)
        case ".parquet":
            pq.write_table(pa.table({"embedding": values.tolist(), **columns}), path)
        case ".pt":
            kept = {n: torch.from_numpy(v) if isinstance(v, np.ndarray) else v
                    for n, v in columns.items()}  # fmt: skip
            torch.save({"embeddings": torch.from_numpy(values), **kept}, path)
        case ".safetensors":
            save_file({"embeddings": values, **columns}, path)
    return path


def people_in(path, **said):
    store = import_store(path, embedder="toy", naming=Naming(**said))
    if path.suffix != ".pt":
        same = read_store(path, embedder="toy", naming=Naming(**said))
        assert same.identity_ids == store.identity_ids
    return store


def refusal(path, **said):
    with pytest.raises(StoreError) as caught:
        import_store(path, embedder="toy", naming=Naming(**said))
    return str(caught.value).replace(str(path), "STORE")


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".pt"])
@pytest.mark.parametrize(
    "name",
    ["label", "labels", "names", "name", "id", "ids", "person_id", "identity", "subject",
     "subject_id", "Person ID"],
)  # fmt: skip
def test_a_known_name_holds_people(tmp_path, ending, name):
    for values in (NAMES, NUMBERS):
        store = people_in(store_of(tmp_path, ending, **{name: values}))
        assert store.identity_ids == tuple(map(str, values))
        assert len(store) == PEOPLE


def test_numbers_of_people_may_be_floats_and_columns(tmp_path):
    wanted = tuple(map(str, NUMBERS))
    for labels in (NUMBERS.astype(np.float32), NUMBERS[:, None], NUMBERS.astype(np.uint8)):
        for ending in (".npz", ".pt", ".safetensors"):
            assert people_in(store_of(tmp_path, ending, labels=labels)).identity_ids == wanted
    assert people_in(
        store_of(tmp_path, ".parquet", label=pa.array(NAMES).dictionary_encode())
    ).identity_ids == tuple(NAMES)
    assert people_in(
        store_of(tmp_path, ".npz", labels=np.array(NAMES, dtype="S"), scores=np.ones(24))
    ).identity_ids == tuple(NAMES)


def test_columns_that_say_the_same_are_no_question(tmp_path):
    store = people_in(store_of(tmp_path, ".npz", labels=NUMBERS, names=NAMES))
    assert store.identity_ids == tuple(map(str, NUMBERS))
    store = people_in(store_of(tmp_path, ".parquet", label=NUMBERS, person_id=NAMES, age=[7] * 24))
    assert store.identity_ids == tuple(NAMES)
    store = people_in(store_of(tmp_path, ".npz", labels=NUMBERS, filenames=FILES))
    assert store.identity_ids == tuple(map(str, NUMBERS))


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".pt"])
def test_several_candidates_ask(tmp_path, ending):
    path = store_of(tmp_path, ending, label=NUMBERS % 3, person_id=NAMES)
    assert refusal(path) == (
        "STORE does not say for sure who is who: over its 24 rows 'person_id' has 6 different "
        f"values and 'label' has 3 different values; {SAY}"
    )
    assert people_in(path, people="person_id").identity_ids == tuple(NAMES)
    assert len(people_in(path, people="label")) == 3
    assert len(people_in(path, one_face_each=True)) == 24


@pytest.mark.parametrize("ending", [".npz", ".parquet", ".pt"])
@pytest.mark.parametrize("values", [NAMES, NUMBERS])
def test_an_unknown_column_asks(tmp_path, ending, values):
    path = store_of(tmp_path, ending, celebrity=values)
    assert refusal(path) == (
        "STORE does not say for sure who is who: over its 24 rows 'celebrity' has 6 different "
        f"values; {SAY}"
    )
    assert people_in(path, people="celebrity").identity_ids == tuple(map(str, values))
    assert people_in(path, one_face_each=True).identity_ids[5] == "face-00000005"


def test_a_row_number_beside_what_may_be_people_asks(tmp_path):
    path = store_of(tmp_path, ".parquet", id=list(range(24)), celebrity=NAMES)
    assert refusal(path) == (
        "STORE does not say for sure who is who: over its 24 rows 'id' has 24 different values and "
        f"'celebrity' has 6 different values; {SAY}"
    )


def test_a_row_number_beside_files_in_folders_asks(tmp_path):
    path = store_of(tmp_path, ".parquet", id=list(range(24)), filenames=FILES)
    assert "does not say for sure who is who" in refusal(path)
    flat = [f"faces/{row}.jpg" for row in range(24)]
    assert len(people_in(store_of(tmp_path, ".parquet", id=NUMBERS, filenames=flat))) == PEOPLE


@pytest.mark.parametrize("name", ["filenames", "path", "names"])
def test_a_file_name_is_not_a_person(tmp_path, name):
    path = store_of(tmp_path, ".npz", **{name: FILES})
    assert refusal(path) == (
        f"STORE does not say for sure who is who: over its 24 rows '{name}' has 24 different "
        f"values; a file name is not a person, but if '{name}' is named, the folder of each file "
        f"is; {SAY}"
    )
    assert people_in(path, people=name).identity_ids == tuple(NAMES)
    flat = store_of(tmp_path, ".npz", **{name: [f"p{n:02d}_{row}.jpg" for row, n in
                                                enumerate(NUMBERS)]})  # fmt: skip
    assert refusal(flat) == (
        f"STORE does not say for sure who is who: over its 24 rows '{name}' has 24 different "
        f"values; a file name is not a person; {SAY}"
    )
    assert refusal(flat, people=name) == (
        f"STORE: '{name}' holds file names such as 'p00_0.jpg', and a file name is not a person; "
        "a folder of each person's own would be: give a column that holds people, or say that "
        "each row shows another person (--one-face-each, or identities.one_face_each: true)"
    )
    assert len(people_in(flat, one_face_each=True)) == 24


def test_a_column_that_cannot_be_people_is_refused(tmp_path):
    path = store_of(tmp_path, ".npz", scores=np.linspace(0, 1, 24), who=np.array(NAMES, object))
    assert refusal(path, people="nobody") == (
        "STORE has no column 'nobody' of people; beside the embeddings it has scores, who"
    )
    assert refusal(path, people="scores") == (
        "STORE: 'scores' cannot name people; it must hold one text or one whole number a row"
    )
    assert (
        refusal(path, people="who")
        == refusal(path)
        == (
            "STORE: 'who' holds Python objects, which are pickles and not opened; save it as text "
            "or as integers, or say that each row shows another person (--one-face-each, or "
            "identities.one_face_each: true)"
        )
    )
    short = store_of(tmp_path, ".npz", names=NAMES[:6])
    assert refusal(short) == "STORE holds 24 embeddings and 6 names; there must be as many"
    gap = store_of(tmp_path, ".parquet", name=[*NAMES[:-1], None])
    assert refusal(gap) == "STORE: row 23 (from 0) is empty in column 'name'"


@pytest.mark.parametrize("ending", [".npy", ".npz", ".pt", ".safetensors", ".parquet"])
def test_a_list_beside_a_file_asks(tmp_path, ending):
    path = tmp_path / "faces.npy"
    if ending == ".npy":
        np.save(path, random_embeddings(24))
    else:
        path = store_of(tmp_path, ending)
    assert len(people_in(path)) == 24
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    np.save(tmp_path / "faces_labels.npy", NUMBERS)
    assert refusal(path) == (
        "STORE does not say who is who, and 'faces_labels.npy' beside it holds as many values as "
        "it has rows; make a store of both (synthgen faces import --people faces_labels.npy), or "
        "say that each row shows another person (--one-face-each, or identities.one_face_each: "
        "true)"
    )
    assert people_in(path, people="names.txt").identity_ids == tuple(NAMES)
    assert people_in(path, people="faces_labels.npy").identity_ids == tuple(map(str, NUMBERS))
    assert len(people_in(path, one_face_each=True)) == 24
    (tmp_path / "names.txt").write_text("\n".join(NAMES[:7]))
    assert refusal(path, people="names.txt") == (
        "STORE holds 24 embeddings and 7 names.txt; there must be as many"
    )
    assert refusal(path, people="nobody.txt") == (f"the list {tmp_path}/nobody.txt does not exist")
    assert refusal(path, people="names.csv").startswith("STORE has no column 'names.csv' of people")


@pytest.mark.parametrize("ending", [".pt", ".npz", ".safetensors"])
def test_arrays_named_after_people_hold_their_faces(tmp_path, ending):
    values = random_embeddings(9)
    faces = {"ann": values[:4], "bob": values[4:8], "cy": values[8]}
    path = tmp_path / f"faces{ending}"
    if ending == ".pt":
        torch.save({name: torch.from_numpy(rows) for name, rows in faces.items()}, path)
    elif ending == ".npz":
        np.savez(path, **faces)
    else:
        save_file(faces, path)
    store = people_in(path)
    assert store.identity_ids == ("ann",) * 4 + ("bob",) * 4 + ("cy",)
    np.testing.assert_allclose(
        store.embeddings, values / np.linalg.norm(values, axis=1, keepdims=True), atol=1e-6
    )


def test_a_person_with_lists_of_faces(tmp_path):
    values = torch.from_numpy(random_embeddings(5))
    torch.save({"ann": list(values[:2]), "bob": list(values[2:])}, tmp_path / "faces.pt")
    assert people_in(tmp_path / "faces.pt").identity_ids == ("ann",) * 2 + ("bob",) * 3


def test_nobody_is_in_two_splits_whatever_the_column_is_called(tmp_path):
    partition = Partition.build(
        {"train": Fraction(1, 2), "validation": Fraction(1, 4), "test": Fraction(1, 4)}, 2
    )
    for ending, name in ((".parquet", "label"), (".npz", "subject"), (".npz", "names")):
        path = store_of(tmp_path, ending, **{name: NAMES})
        config = FaceIdIdentitiesConfig(
            source="faceid", store=str(path), embedder="toy", expressions_per_identity=2
        )
        made = FaceIdIdentities.from_config(config, 3, 12, partition, "2")
        shown = {split: set(people) for split, people in made.people.items()}
        assert set.union(*shown.values()) == set(NAMES)
        assert sum(map(len, shown.values())) == PEOPLE


def test_a_configuration_says_who_is_who(tmp_path):
    path = store_of(tmp_path, ".npz", celebrity=NAMES)
    partition = Partition.build({"train": Fraction(1)}, 1)

    def people(**said):
        config = FaceIdIdentitiesConfig(source="faceid", store=str(path), embedder="toy", **said)
        return len(FaceIdIdentities.from_config(config, 3, 6, partition, "1").store)

    assert people(people="celebrity") == 6
    assert people(one_face_each=True) == 24
    with pytest.raises(ValueError, match="give one of both"):
        people(people="celebrity", one_face_each=True)
    plain = FaceIdIdentitiesConfig(source="faceid", store=str(path))
    assert not {"people", "one_face_each"} & set(plain.model_dump(mode="json"))


def test_a_list_of_people_is_no_column_of_a_configuration():
    with pytest.raises(ValueError, match="make a store of both first"):
        FaceIdIdentitiesConfig(source="faceid", store="f.npy", people="names.txt")


def test_a_dataset_is_asked_who_is_who(tmp_path):
    values = random_embeddings(PEOPLE * FACES).tolist()
    for name, sure in (("label", True), ("celebrity", False)):
        path = tmp_path / name
        Dataset.from_dict({"embedding": values, name: NUMBERS}).save_to_disk(str(path))
        if sure:
            assert people_in(path).identity_ids == tuple(map(str, NUMBERS))
        else:
            assert refusal(path).startswith("STORE does not say for sure who is who: over its 24")
            assert people_in(path, people=name).identity_ids == tuple(map(str, NUMBERS))


def test_a_person_column_with_gaps_is_never_left_aside(tmp_path):
    gaps = NUMBERS.astype(float)
    gaps[3] = np.nan
    for ending in (".parquet", ".npz"):
        path = store_of(tmp_path, ending, person=gaps)
        sentence = "STORE: row 3 (from 0) is empty in column 'person'"
        assert refusal(path) == refusal(path, people="person") == sentence


def test_names_that_differ_in_blanks_alone_are_refused(tmp_path):
    names = [f"{name} " if row % 2 else name for row, name in enumerate(NAMES)]
    path = store_of(tmp_path, ".parquet", person=names)
    assert refusal(path) == (
        "STORE: 'subject_00' and 'subject_00 ' in column 'person' differ in blanks at their ends "
        "alone; write them alike"
    )


def test_arrays_that_are_called_after_pictures_ask(tmp_path):
    path = tmp_path / "faces.pt"
    faces = torch.from_numpy(random_embeddings(PEOPLE * FACES))
    torch.save(dict(zip(FILES, faces, strict=True)), path)
    assert refusal(path) == (
        "STORE does not say for sure who is who: over its 24 rows 'filename' has 24 different "
        "values; a file name is not a person, but if 'filename' is named, the folder of each file "
        f"is; {SAY}"
    )
    assert len(set(people_in(path, people="filename").identity_ids)) == PEOPLE
    assert len(set(people_in(path, one_face_each=True).identity_ids)) == PEOPLE * FACES


def test_a_list_of_another_length_beside_a_file_is_told(tmp_path):
    path = tmp_path / "emb.npy"
    np.save(path, random_embeddings(PEOPLE * FACES))
    (tmp_path / "names.txt").write_text("\n".join(NAMES[1:]))
    assert refusal(path) == (
        "STORE does not say who is who, and 'names.txt' beside it holds 23, for 24 rows; make a "
        "store of both (synthgen faces import --people names.txt), or say that each row shows "
        "another person (--one-face-each, or identities.one_face_each: true)"
    )
