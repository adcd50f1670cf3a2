"""The check `libreface-expression`: its network's layout, its verdicts, a run, refusals."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import load_dataset

from cluster.driver import generate
from pipelines.libreface.alignment import Alignment, CenteredAligner
from pipelines.libreface.expression import (
    ExpressionCheck,
    ExpressionNetwork,
    fetch_expression,
    load_expression,
)
from pipelines.libreface.expression_section import CLASS_OF, CLASSES, ExpressionPolicy
from pipelines.libreface.weights import expression_file
from pipelines.loading import check_values, doubts
from pipelines.procedural import random_identity, render
from synthgen.action_units import DEFAULT_AUS
from synthgen.config import parse_config
from synthgen.dataset import Storage, inspect_dataset, read_record
from synthgen.dataset.labels import BASIC
from synthgen.errors import ConfigError, WeightsError
from synthgen.report.pictures import one_sample


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Write weights of the published layout that take every face for happy, or else for angry."""
    torch.manual_seed(2)
    network = ExpressionNetwork()
    with torch.no_grad():
        network.classifier[4].weight.zero_()
        bias = torch.full((8,), -4.0)
        bias[CLASSES.index("Happiness")], bias[CLASSES.index("Anger")] = 2.0, 1.0
        network.classifier[4].bias.copy_(bias)
    file = tmp_path_factory.mktemp("weights") / "repvgg.pt"
    torch.save({"model": network.state_dict()}, file)
    return file


def face(seed=1):
    return render(random_identity(seed=seed), (0.0,) * 12)


def spec(emotion):
    return replace(one_sample("", (0.0,) * 12, 0, DEFAULT_AUS), emotion=emotion)


def test_layout_is_that_of_the_published_file():
    state = ExpressionNetwork().state_dict()
    assert len(state) == 353 + 9
    assert state["encoder.stem.conv_kxk.conv.weight"].shape == (48, 3, 3, 3)
    assert state["encoder.stages.0.1.identity.running_var"].shape == (48,)
    assert "encoder.stages.0.0.identity.weight" not in state
    assert state["encoder.stages.2.13.conv_1x1.conv.weight"].shape == (192, 192, 1, 1)
    assert state["encoder.stages.3.0.conv_kxk.bn.weight"].shape == (1280,)
    assert state["encoder.head.fc.0.weight"].shape == (1000, 1280)
    assert state["encoder.head.fc.1.weight"].shape == (512, 1000)
    assert state["classifier.4.weight"].shape == (8, 128)


def test_each_basic_emotion_has_a_class():
    assert set(CLASS_OF) == set(BASIC)
    assert sorted(CLASS_OF.values()) == sorted(CLASSES)


def test_a_face_is_scored_alike_alone_and_in_a_batch():
    torch.manual_seed(3)
    network = ExpressionNetwork().eval()
    pixels = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        together = network(pixels)
        assert torch.allclose(together[1:2], network(pixels[1:2]), atol=1e-6)
    assert together.shape == (3, 8)
    assert 0 < together.min() < together.max() < 1


def test_the_category_must_be_the_class_of_the_largest_score(weights):
    check = ExpressionCheck.from_pretrained(str(weights), "centered")
    (found,) = check.measure([face()], [spec("happy")])
    assert found["libreface_expression"] == CLASSES.index("Happiness")
    assert found["libreface_expression_scores"][6] == pytest.approx(0.731, abs=0.001)
    assert check.verdict(spec("happy"), found).accepted
    for unjudged in ("sadly angry", None, "my own"):
        assert check.verdict(spec(unjudged), found).accepted
    other = check.verdict(spec("angry"), found)
    assert (other.reason, other.distance) == ("category", pytest.approx(0.75, abs=0.01))
    assert other.detail == (
        "it is taken for Happiness (0.88) where angry was asked for, which is Anger (0.73)"
    )


def test_a_least_score_is_judged_beside_the_match_or_instead_of_it(weights):
    policy = ExpressionPolicy(match=False, min_score=0.8)
    check = ExpressionCheck.from_pretrained(str(weights), "centered", policy)
    (found,) = check.measure([face()], [spec("angry")])
    assert check.verdict(spec("angry"), found).detail == (
        "the score of Anger is 0.73 where angry was asked for; the least allowed is 0.8"
    )
    assert check.verdict(spec("happy"), found).accepted
    nothing = ExpressionCheck.from_pretrained(
        str(weights), "centered", ExpressionPolicy(match=False)
    )
    assert nothing.verdict(spec("angry"), found).accepted


def test_without_a_face_nothing_is_known(weights):
    class Blind(CenteredAligner):
        def align(self, image):
            return Alignment(faces=0, crop=None)

    check = ExpressionCheck(load_expression(weights), Blind(), weights)
    (found,) = check.measure([face()], [spec("happy")])
    assert found == {"libreface_expression": None, "libreface_expression_scores": None}
    assert check.verdict(spec("happy"), found).reason == "no_face"
    assert check.verdict(spec("awed"), found).accepted
    assert check.measure([], []) == []


def make(tmp_path, weights, categories=("happy", "sad"), **keys):
    check = {"name": "libreface-expression", "weights": str(weights), "aligner": "centered"}
    return parse_config(
        {
            "name": "small", "seed": 3, "samples": 6,
            "output": {"path": str(tmp_path / "out"), "splits": {"train": 1.0}},
            "expressions": {"prior": "emotions", "categories": list(categories)},
            "identities": {"source": "prompts", "template": "a face", "slots": {},
                           "people_per_tuple": 6},
            "pipeline": {"name": "procedural", "batch_size": 3},
            "verify": {"checks": [{**check, **keys}], "max_attempts": 1, "on_exhausted": "drop"},
        }
    )  # fmt: skip


def test_a_run_keeps_what_is_taken_for_its_category(tmp_path, weights):
    config = make(tmp_path, weights)
    generate(config, "inline")
    rows = load_dataset(config.output.path)["train"]
    rejects = load_dataset(config.output.path, "rejects")["train"]
    assert set(rows["emotion_name"]) == {"happy"}
    assert set(rejects["emotion_name"]) == {"sad"}
    assert set(rejects["reason"]) == {"libreface-expression:category"}
    assert rows.features["libreface_expression"].names == list(CLASSES)
    assert len(rows[0]["libreface_expression_scores"]) == 8
    assert "repvgg.pt" in read_record(Storage(config.output.path)).identity["weights"]
    assert inspect_dataset(config.output.path).problems == ()


def test_categories_without_a_class_are_named_or_refused(tmp_path, weights):
    some = make(tmp_path, weights, categories=("happy", "sadly fearful", "awed"))
    check_values(some)
    assert doubts(some) == [
        "the check 'libreface-expression' does not judge sadly fearful, awed: LibreFace has no "
        "class for them"
    ]
    none = make(tmp_path, weights, categories=("sadly fearful", "awed"))
    with pytest.raises(ConfigError) as caught:
        check_values(none)
    assert str(caught.value) == (
        "the check 'libreface-expression' compares images with their categories, and no category "
        "of the run has a class of LibreFace (neutral, happy, sad, surprised, fearful, disgusted, "
        "angry, contempt have one); set policy.match to false, or leave the check out"
    )
    only = make(tmp_path, weights, categories=("awed",), policy={"match": False})
    check_values(only)
    assert doubts(only) == []


def test_files_that_are_missing_or_others_are_refused(tmp_path, weights, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path / "cache"))
    section = make(tmp_path, "libreface").verify.checks[0]
    with pytest.raises(WeightsError) as caught:
        section.find_weights(fetch=False)
    assert str(caught.value) == (
        f"LibreFace's expression weights {expression_file()} are missing; fetch them with "
        "`synthgen weights fetch CONFIG`, or put them there"
    )
    expression_file().parent.mkdir(parents=True)
    expression_file().write_bytes(weights.read_bytes())
    assert fetch_expression() == expression_file()
    assert section.find_weights(fetch=True).files == (expression_file(),)
    assert "non-profit" in section.find_weights(fetch=False).licences["repvgg.pt"]
    other = tmp_path / "other.pt"
    torch.save({"model": {"classifier.4.bias": torch.zeros(8)}}, other)
    with pytest.raises(WeightsError, match="does not fit the network; missing: "):
        load_expression(other)
    torch.save(torch.zeros(1), other)
    with pytest.raises(WeightsError, match=r'other.pt must hold \{"model": state_dict\}'):
        load_expression(other)
    with pytest.raises(WeightsError) as caught:
        make(tmp_path, tmp_path / "gone.pt").verify.checks[0].find_weights(fetch=False)
    assert str(caught.value) == f"expression network {tmp_path}/gone.pt does not exist"
    assert np.isfinite(load_expression(weights).classifier[4].bias.numpy()).all()
