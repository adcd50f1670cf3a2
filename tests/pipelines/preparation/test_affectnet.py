import re
import shutil

import numpy as np
import pytest
from commands import run
from datasets import load_dataset
from embedded import EDITION
from made_sources import write_affectnet, write_picture
from tiny_vision_language import write_blip2

from pipelines.libreface import LibreFaceVerifier
from pipelines.preparation.affectnet import AffectNet
from pipelines.preparation.vision_language import VisionLanguageModel
from pipelines.procedural import random_identity, render
from synthgen.action_units import AUS, DEFAULT_AUS
from synthgen.errors import DatasetError

FACES = [{}, {"AU12": 5, "AU6": 4}, {"AU1": 5, "AU2": 5, "AU26": 4}, {"AU4": 4}, {"AU15": 5}]


def drawn(number):
    """Draw a face of `FACES`."""
    aus = [float(FACES[number].get(au, 0)) for au in AUS]
    return render(random_identity(seed=number, edition=EDITION), aus, size=128)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    source = root / "affectnet"
    for number in range(len(FACES)):
        write_affectnet(source, str(number), 1, number)
        drawn(number).save(source / "train_set" / "images" / f"{number}.png")
    write_affectnet(source, "5", 2, 5, size=24)  # too small
    write_affectnet(source, "6", 10, 6)  # no face, by its annotation
    write_affectnet(source, "7", 3, 7, size=64)
    (source / "train_set" / "images" / "7.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    folder = write_affectnet(source, "8", 11, 8)  # no such expression
    write_affectnet(source, "9", 0, 9)
    (folder / "9_aro.npy").unlink()
    write_affectnet(source, "10", "4", 10)
    (folder / "10_val.npy").write_bytes(b"no numbers")
    write_blip2(root / "model")
    return root


def test_a_copy_goes_through_every_step(made, tmp_path):
    source = made / "affectnet"
    images = [drawn(number) for number in range(len(FACES))]
    told = VisionLanguageModel.from_pretrained(str(made / "model")).photo(images)
    least = float(np.mean(sorted(told)[:2]))  # between the least and the next
    arguments = (
        "data", "affectnet", source, "--model", made / "model", "--photo-from", str(least),
        "--verifier", "mini", "--min-side", "32", "--batch", "16", "--to", "out",
    )  # fmt: skip
    code, said, errors = run(*arguments, cwd=tmp_path)
    assert code == 0, errors
    kept = [number for number, one in enumerate(told) if one >= least]
    assert len(kept) == 4
    measured = LibreFaceVerifier.from_pretrained("mini").measure([images[n] for n in kept])
    measured = measured.aus_of(DEFAULT_AUS)
    expected = by_hand(measured)
    lively = [place for place, one in enumerate(expected) if one.sum() >= 0.2]
    little = len(kept) - len(lively)
    assert said == (
        f"out: {len(lively)} rows of AffectNet (train {len(lively)})\n"
        "         11 pictures\n"
        "−         3 no sound annotation\n"
        "−         1 annotated as no face\n"
        "−         1 unreadable\n"
        "−         1 too small\n"
        "−         1 no photograph\n"
        + (f"−         {little} too little expression\n" if little else "")
        + f"=         {len(lively)} rows\n"
        'why each was dropped: load_dataset("out", "rejects")\n'
    )
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=tmp_path / "cache")
    files = [f"train_set/images/{kept[place]}.png" for place in lively]
    assert [one["file"] for one in rows["provenance"]] == files
    assert np.allclose(rows["aus_measured"], measured[lively], atol=1e-4)
    assert np.allclose(rows["aus"], expected[lively], atol=1e-3)
    assert rows["photo"][:] == pytest.approx([told[kept[place]] for place in lively], abs=1e-5)
    assert set(rows["expression"]) == {"happy"}
    assert (rows["valence"][0], rows["arousal"][0]) == (0.25, -0.5)
    assert {one["labels"] for one in rows["provenance"]} == {"libreface-mini"}
    dropped = load_dataset(str(tmp_path / "out"), "rejects", split="dropped").to_list()
    reasons = {one["file"].rpartition("/")[2]: one["reason"] for one in dropped}
    below = source / "train_set" / "annotations"
    assert reasons["5.png"] == "24 × 24 pixels; 32 are asked for"
    assert reasons["6.png"] == "its expression is 10, no face"
    assert reasons["8.png"] == "the expression is 11; it must be 0 to 10"
    assert reasons["9.png"] == f"the annotation {below / '9_aro.npy'} does not exist"
    assert reasons["10.png"].startswith(f"{below / '10_val.npy'} cannot be read: ")
    unlikely = kept_out(told, least)
    assert reasons[f"{unlikely}.png"] == (f"p(yes) is {told[unlikely]:.4f}; {least:g} is asked for")
    record = (tmp_path / "out" / "preparation.json").read_text()
    assert f'"photo_from": {least}' in record


def kept_out(told, least):
    (place,) = (number for number, one in enumerate(told) if one < least)
    return place


def by_hand(measured):
    """Return what the paper's correction gives, AU by AU."""
    found = np.zeros(measured.shape)
    for place, au in enumerate(AUS):
        power = {"AU1": 1.8, "AU4": 1.8, "AU15": 0.8, "AU17": 0.8, "AU20": 0.8}.get(au, 1.0)
        values = np.clip(measured[:, place].astype(np.float64), 0, 5) ** power
        low, high = values.min(), values.max()
        values = 5 * (values - low) / (high - low)
        found[:, place] = np.where(values < 1, 0, values)
    return found


def test_the_manual_set_is_cut_out_by_its_boxes(tmp_path):
    root = tmp_path / "manual"
    write_picture(root / "Manually_Annotated_Images" / "1" / "a.png", 1, (64, 64))
    write_picture(root / "Manually_Annotated_Images" / "1" / "b.png", 2, (64, 64))
    head = "subDirectory_filePath,face_x,face_y,face_width,face_height,expression,valence,arousal\n"
    (root / "training.csv").write_text(
        head
        + "1/a.png,8,16,40,32,4,-0.5,0.75\n"
        + "1/b.png,0,0,64,64,9,-2,-2\n"
        + "1/c.png,0,0,64,64,1,0,0\n"
        + "1/b.png,0,0,64,64,1,9,0\n"
    )
    source = AffectNet(root)
    listing = source.listing()
    assert [(drop.step, drop.reason) for drop in listing.drops] == [
        ("no such picture", "line 4 of training.csv names it"),
        ("no sound annotation", "line 5: the valence is 9; it must be −1 to 1, or −2 for none"),
    ]
    (cut, whole) = source.read(listing.items)
    assert cut.image.size == (40, 32)
    assert whole.image.size == (64, 64)
    assert listing.items[0].more == {"expression": "fearful", "valence": -0.5, "arousal": 0.75}
    assert listing.items[1].more == {"expression": "uncertain", "valence": None, "arousal": None}


def test_a_folder_of_archives_is_told_to_be_unpacked(tmp_path):
    (tmp_path / "train_set.tar").touch()
    text = (
        f"{tmp_path} has neither release of AffectNet: train_set/images with "
        "train_set/annotations, or training.csv with Manually_Annotated_Images; 1 archive "
        "(train_set.tar) must be unpacked"
    )
    with pytest.raises(DatasetError, match=f"^{re.escape(text)}$"):
        AffectNet(tmp_path)


def test_without_a_model_nobody_is_asked(made, tmp_path):
    source = tmp_path / "affectnet"
    shutil.copytree(made / "affectnet", source)
    code, said, errors = run(
        "data", "affectnet", source, "--model", "none", "--verifier", "mini", "--min-side", "64",
        "--correction", "none", "--caption", "a face", "--to", "out", cwd=tmp_path,
    )  # fmt: skip
    assert code == 0, errors
    assert "no photograph" not in said
    rows = load_dataset(str(tmp_path / "out"), split="train", cache_dir=tmp_path / "cache")
    assert set(rows["caption"]) == {"a face"}
    assert np.allclose(rows["aus"], rows["aus_measured"])
