"""Datasets that are signed: C2PA manifests beside the files of pictures."""

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from certificates import key_pem, make_signer
from commands import run
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from tiny_dataset import make_dataset

from cluster.driver import generate
from synthgen.config import load_config
from synthgen.dataset import Storage
from synthgen.dataset.marks.manifests import read_manifest
from synthgen.dataset.merging import Merging, merge
from synthgen.errors import DatasetError
from synthgen.report.proving import prove
from synthgen.report.signing import sign_dataset

EXAMPLE = Path(__file__).parents[2] / "examples" / "drawn-faces.yaml"
SHARD = "data/train-00000"


def _config(folder, *changes):
    settings = ["samples=6", "pipeline.batch_size=4", "pipeline.size=64"]
    settings += ["verify.max_attempts=1", "verify.on_exhausted=keep_best"]
    settings += ["output.shard_size=4", "output.splits={train: 1}", f"output.path={folder}"]
    return load_config(EXAMPLE, [*settings, *changes])


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return make_signer(tmp_path_factory.mktemp("signer"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signing") / "faces"
    generate(_config(folder), "inline")
    return folder


@pytest.fixture
def faces(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "faces")
    return tmp_path / "faces"


def _sign(folder, signer, *more):
    return run("sign", folder, "--certificate", signer.certificate, "--key", signer.key, *more)


def _files(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_a_manifest_stands_beside_each_file_and_nothing_else_changes(faces, signer):
    before = _files(faces)
    assert _sign(faces, signer)[:2] == (0, f"{faces}: 2 files signed by Ada Example\n")
    after = _files(faces)
    assert {*after} - {*before} == {"data/train-00000.c2pa", "data/train-00001.c2pa"}
    assert {name: after[name] for name in before} == before
    assert max(len(after[name]) for name in {*after} - {*before}) < 5000


def test_c2pas_own_reader_finds_the_manifest_by_its_name(faces, signer):
    import c2pa

    _sign(faces, signer)
    manifest = (faces / f"{SHARD}.c2pa").read_bytes()
    with (faces / f"{SHARD}.parquet").open("rb") as file:
        said = json.loads(c2pa.Reader("application/vnd.apache.parquet", file, manifest).json())
    assert said["validation_state"] == "Valid"
    active = said["manifests"][said["active_manifest"]]
    assert active["title"] == f"{SHARD}.parquet"
    assert active["claim_generator_info"][0]["name"] == "synthgen"
    (actions,) = [a for a in active["assertions"] if a["label"] == "c2pa.actions.v2"]
    assert actions["data"]["actions"] == [
        {
            "action": "c2pa.created",
            "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/algorithmicMedia",
        }
    ]


def test_detect_tells_who_signed_and_whether_he_is_believed(faces, signer, tmp_path):
    _sign(faces, signer)
    code, said, _ = run("detect", faces)
    told = "  2 files are signed by Ada Example, Example Faces, and as they were when signed"
    doubt = "  anybody can make a certificate: --trust FILE names whose you believe"
    assert (code, said.splitlines()[2:]) == (0, [told, doubt])
    assert run("detect", faces, "--trust", signer.authority)[1].splitlines()[2:] == [told]
    other = make_signer(tmp_path / "other").authority
    assert run("detect", faces, "--trust", other)[1].splitlines()[2:] == [
        told,
        "  2 by a certificate that FILE does not vouch for",
    ]


def test_one_changed_byte_is_found(faces, signer):
    _sign(faces, signer)
    file = faces / f"{SHARD}.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.write_bytes(data)
    sentence = (
        f"{SHARD}.c2pa does not fit {SHARD}.parquet: assertion.dataHash.mismatch "
        "(asset hash error, name: jumbf manifest, error: hash verification( Hashes do not match ))"
    )
    proof = prove(str(faces), samples=1)
    assert sentence in proof.wrong
    (part,) = [part for part in proof.parts if part.name == "manifests"]
    assert (part.proved, proof.exit_code) == (1, 1)


def test_a_manifest_of_another_file_and_one_that_is_none_are_found(faces, signer):
    _sign(faces, signer)
    shutil.copy(faces / f"{SHARD}.c2pa", faces / "data/train-00001.c2pa")
    (faces / f"{SHARD}.c2pa").write_bytes(b"nothing of the kind" * 20)
    code, said, _ = run("detect", faces)
    assert code == 1
    lines = said.splitlines()
    assert lines[-2].startswith(f"  {SHARD}.c2pa: it is no manifest of C2PA that can be read: ")
    assert lines[-1].startswith("  data/train-00001.c2pa does not fit data/train-00001.parquet: ")


def test_a_signed_dataset_is_proved(faces, signer):
    _sign(faces, signer)
    proof = prove(str(faces), samples=1)
    assert (proof.wrong, proof.open) == ([], [])
    assert [(p.name, p.proved) for p in proof.parts if p.of == "files"] == [
        ("files", 4),
        ("card, croissant.json", 2),
        ("manifests", 2),
    ]
    (faces / f"{SHARD}.c2pa").unlink()
    proof = prove(str(faces), samples=1)
    assert proof.open == [f"no manifest vouches for {SHARD}.parquet"]
    assert proof.exit_code == 3


def test_the_same_command_goes_on_and_another_signer_signs_anew(faces, signer, tmp_path):
    _sign(faces, signer)
    kept = (faces / f"{SHARD}.c2pa").read_bytes()
    (faces / "data/train-00001.c2pa").unlink()
    assert _sign(faces, signer)[1] == f"{faces}: 1 files signed by Ada Example, 1 were\n"
    assert (faces / f"{SHARD}.c2pa").read_bytes() == kept
    other = make_signer(tmp_path / "other", "Bert Example", ed25519.Ed25519PrivateKey.generate())
    assert _sign(faces, other)[1] == f"{faces}: 2 files signed by Bert Example\n"


def test_an_extended_run_loses_the_manifest_of_the_shard_that_grew(faces, signer):
    sign_dataset(str(faces), signer.certificate, signer.key)
    generate(_config(faces, "samples=8"), "inline")
    assert sorted(file.name for file in (faces / "data").iterdir()) == [
        "train-00000.c2pa",
        "train-00000.parquet",
        "train-00001.parquet",
    ]
    generate(_config(faces, "samples=2"), "inline", overwrite=True)
    assert not list((faces / "data").glob("*.c2pa"))


def test_loading_reads_no_manifest(faces, signer):
    from datasets import load_dataset

    _sign(faces, signer)
    rows = load_dataset(str(faces), cache_dir=str(faces.parent / "cache"))
    assert {split: part.num_rows for split, part in rows.items()} == {"train": 6}


def test_rsa_and_other_curves_sign(faces, tmp_path):
    for number, private in enumerate(
        [
            rsa.generate_private_key(65537, 2048),
            ec.generate_private_key(ec.SECP384R1()),
            ec.generate_private_key(ec.SECP521R1()),
        ]
    ):
        signer = make_signer(tmp_path / str(number), private=private)
        assert sign_dataset(str(faces), signer.certificate, signer.key).written == 2


def _refused(faces, certificate, key, *more):
    before = _files(faces)
    code, _, said = run("sign", faces, "--certificate", certificate, "--key", key, *more)
    assert (code, _files(faces)) == (2, before)
    return said.splitlines()[-1]


def test_what_cannot_sign_is_refused_in_one_sentence(faces, signer, tmp_path):
    other = make_signer(tmp_path / "other")
    assert _refused(faces, signer.certificate, other.key) == (
        f"error: key {other.key} does not belong to the first certificate of "
        f"{signer.certificate}, which is Ada Example's"
    )
    assert _refused(faces, tmp_path / "no.pem", signer.key) == (
        f"error: certificate {tmp_path}/no.pem does not exist"
    )
    assert _refused(faces, signer.key, signer.key) == (
        f"error: {signer.key} holds no certificate in PEM form"
    )
    assert _refused(faces, signer.certificate, signer.certificate) == (
        f"error: {signer.certificate} holds no private key in PEM form"
    )
    locked = tmp_path / "locked.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    locked.write_bytes(key_pem(private, serialization.BestAvailableEncryption(b"secret")))
    assert _refused(faces, signer.certificate, locked) == (
        f"error: key {locked} is locked by a password; write it without one to a file that only "
        "you can read (openssl pkcs8 -topk8 -nocrypt)"
    )
    odd = make_signer(tmp_path / "odd", private=dsa.generate_private_key(2048))
    assert _refused(faces, odd.certificate, odd.key) == (
        f"error: key {odd.key} is of a kind that C2PA does not sign with; it must be of EC P-256, "
        "P-384 or P-521, Ed25519, or RSA of at least 2048 bits"
    )


def test_certificates_that_may_not_sign_are_refused(faces, tmp_path):
    old = make_signer(tmp_path / "old", days=(-20, -10))
    assert _refused(faces, old.certificate, old.key) == (
        f"error: {SHARD}.parquet cannot be signed by Ada Example: the certificate was not "
        "valid at time of signing"
    )


def test_an_authority_that_does_not_answer_is_named(faces, signer):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    said = _refused(faces, signer.certificate, signer.key, "--time-authority", url)
    assert said.startswith(
        f"error: {SHARD}.parquet cannot be signed by Ada Example with the time of {url}: "
    )


def test_without_the_package_signing_is_refused_and_reading_says_so(faces, signer, monkeypatch):
    _sign(faces, signer)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    needs = (
        "C2PA manifests need the package c2pa-python; pip install '.[c2pa]' in a checkout of "
        "synthgen brings it"
    )
    assert _refused(faces, signer.certificate, signer.key) == f"error: {needs}"
    code, said, _ = run("detect", faces)
    assert (code, said.splitlines()[-1]) == (0, f"  signatures were not read: {needs}")
    assert prove(str(faces), samples=1).open == [f"signatures were not read: {needs}"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_certificate_of_the_page_signs(faces, tmp_path, monkeypatch):
    page = (EXAMPLE.parents[1] / "docs" / "marking.md").read_text()
    (typed,) = [block for block in re.findall(r"```sh\n(.*?)```", page, re.S) if "openssl" in block]
    subprocess.run(["sh", "-ec", typed], cwd=tmp_path, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    assert sign_dataset(str(faces), "my.pem", "my.key").signer == "My name"
    assert run("detect", faces, "--trust", "authority.pem")[1].splitlines()[2:] == [
        "  2 files are signed by My name, Trial, and as they were when signed"
    ]


def test_images_without_marks_are_signed_as_what_the_run_makes(tmp_path, signer):
    folder = tmp_path / "plain"
    generate(_config(folder, "samples=2", "output.mark=false"), "inline")
    assert sign_dataset(str(folder), signer.certificate, signer.key).written == 1
    storage = Storage(str(folder))
    with storage.open(f"{SHARD}.parquet") as file:
        found = read_manifest(storage.read(f"{SHARD}.c2pa"), file)
    assert (found.source, found.tool, found.time) == ("algorithmicMedia", "synthgen", None)


def test_merged_images_without_marks_name_no_source(tmp_path, signer):
    make_dataset(str(tmp_path / "one"))
    joined = tmp_path / "joined"
    merge(Merging(sources=[str(tmp_path / "one")], to=str(joined)))
    with pytest.raises(DatasetError) as refused:
        sign_dataset(str(joined), signer.certificate, signer.key)
    assert str(refused.value) == (
        f"{joined} was merged, and the images of data/train-00000.parquet bear no mark, so that "
        "nothing says from which digital source they come; sign the datasets it comes from"
    )
