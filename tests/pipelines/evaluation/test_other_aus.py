"""Evaluations of models of other AUs than the 12: what is asked, drawn, read and told."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny_evaluation import make_base
from tiny_fineface import HIDDEN_SIZE, tiny_unet

from pipelines.evaluation.bias import BiasEvaluation, evaluate_bias
from pipelines.evaluation.faceid_report import drawn_pictures, people_requests
from pipelines.evaluation.fineface import FineFaceEvaluation, evaluate_fineface
from pipelines.evaluation.judge_network import JudgeNetwork, save_judge
from pipelines.evaluation.judges import SecondJudge, VerifierJudge
from pipelines.evaluation.protocols import (
    Protocol,
    au_array,
    combined_requests,
    in_words,
    single_requests,
    unseen_prompts,
)
from pipelines.evaluation.statistics import au_correlations, controls
from pipelines.faceid.drawn import FIRST_EVALUATED, drawn_person
from pipelines.fineface.adapter import AUAdapter
from pipelines.fineface.checkpoint import write_au_adapter
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import LibreFaceNetwork, save_network
from pipelines.procedural import DRAWN_AUS, render
from pipelines.training.data.drawing import in_another_picture
from synthgen.action_units import DEFAULT_AUS
from synthgen.errors import WeightsError


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_base(folder)
    torch.manual_seed(4)
    adapter = AUAdapter.for_unet(
        tiny_unet(0), HIDDEN_SIZE, lora_rank=2, action_units=DRAWN_AUS.names
    )
    (folder / "fineface").mkdir()
    write_au_adapter(adapter, folder / "fineface", "", ".safetensors")
    save_network(LibreFaceNetwork(32, DRAWN_AUS), folder / "au.safetensors", dtype=torch.float32)
    save_judge(JudgeNetwork((4, 4, 4, 4), 2, 8, DRAWN_AUS), folder / "judge.safetensors")
    save_judge(JudgeNetwork((4, 4, 4, 4), 2, 8), folder / "twelve.safetensors")
    return folder


class Short(FineFaceEvaluation):
    """An evaluation that asks for each AU at one intensity alone."""

    def asked(self):
        return replace(super().asked(), levels=(4.0,))


def settings(world, judge="judge.safetensors", verifier="au.safetensors"):
    return Short(
        weights=str(world / "fineface"),
        base=str(world / "sd"),
        verifier=str(world / verifier),
        judge=world / judge,
        prompts=2,
        combinations=1,
        row_prompts=0,
        steps=1,
    )


def test_a_model_is_asked_for_the_aus_that_its_files_encode(world, tmp_path):
    asked = settings(world)
    assert asked.asked().action_units == DRAWN_AUS
    text = evaluate_fineface(asked, tmp_path / "results.md", tmp_path / "images").read_text()
    assert "- Individual AUs: 18 AUs at 4, one at a time" in text
    assert "Images with AUs: 38." in text  # 2 prompts of 18 AUs and a combination
    assert "as a sum over the 18 AUs" in text
    assert "| AU24 | lip presser |" in text


def test_files_that_are_not_here_are_not_taken_for_those_of_the_twelve(world):
    gone = settings(world).model_copy(update={"weights": "nobody/no-such-adapter"})
    with pytest.raises(WeightsError, match="nobody/no-such-adapter"):
        gone.asked()


def test_judges_that_do_not_read_all_of_them_are_refused(world, tmp_path):
    unread = "AU7, AU10, AU14, AU23, AU24, AU43, which the evaluation asks for; it reads AU1, AU2"
    with pytest.raises(WeightsError) as caught:
        evaluate_fineface(settings(world, "twelve.safetensors"), tmp_path / "a.md", tmp_path)
    assert str(caught.value).startswith(f"the judge twelve.safetensors does not read {unread}, ")
    twelve = LibreFaceVerifier.from_pretrained("mini")
    if twelve.action_units == DEFAULT_AUS:
        with pytest.raises(WeightsError) as caught:
            VerifierJudge(twelve, DRAWN_AUS)
        assert str(caught.value).startswith(f"the verifier {twelve.name} does not read {unread}")


def test_a_judge_of_more_aus_gives_those_that_are_asked_for(world):
    face = [render(drawn_person(1, 2), DRAWN_AUS.vector({"AU7": 3}))]
    whole = SecondJudge.from_file(world / "judge.safetensors", DRAWN_AUS).measure(face)
    some = SecondJudge.from_file(world / "judge.safetensors").measure(face)
    places = [DRAWN_AUS.index(name) for name in DEFAULT_AUS.names]
    assert (whole.shape, some.shape) == ((1, 18), (1, 12))
    assert np.array_equal(whole[:, places], some)


def test_requests_carry_their_aus():
    prompts = unseen_prompts(2, seed=4)
    singles = single_requests(prompts[:1], (5.0,), DRAWN_AUS)
    assert (au_array(singles) == 5 * np.eye(18)).all()
    told = in_words(singles, seed=3)[DRAWN_AUS.index("AU24")]
    assert told.text == f"{prompts[0].text}, maximum lip presser"
    protocol = Protocol(prompts=2, combinations=40, action_units=DRAWN_AUS)
    assert protocol.images == 2 * (18 * 5 + 40)
    combined = au_array(combined_requests(prompts, protocol, seed=1))
    assert combined.shape == (80, 18)
    assert combined[:, DRAWN_AUS.index("AU7")].any()  # anger's, which the 12 lack


def test_statistics_name_the_aus():
    asked = np.random.default_rng(1).uniform(0, 5, (30, 18))
    same = au_correlations(asked, asked, DRAWN_AUS)
    assert same == pytest.approx(dict.fromkeys(DRAWN_AUS.names, 1))
    levels = (2.0, 5.0)
    singles = np.eye(18)[None, :, None, :] * np.array(levels)[None, None, :, None]
    found = controls(levels, np.zeros((1, 18)), singles, DRAWN_AUS)
    assert list(found) == list(DRAWN_AUS.names)
    assert found["AU43"].means == (0, 2, 5)


def test_people_of_such_a_model_are_those_of_the_second_edition():
    embeddings = np.eye(2, 512, dtype=np.float32)
    template = "a portrait of a {age} {person}"
    requests = people_requests(embeddings, "sha256:0", template, "sample", 5, DRAWN_AUS)
    assert {request.person.identity_id for request in requests if request.person} == {
        f"drawn2-{FIRST_EVALUATED}", f"drawn2-{FIRST_EVALUATED + 1}",
    }  # fmt: skip
    smile = next(request for request in requests if request.aus[DRAWN_AUS.index("AU12")])
    (picture,) = drawn_pictures(DRAWN_AUS).generate([smile])
    person = drawn_person(FIRST_EVALUATED + smile.prompt.number, 2)
    shown = render(in_another_picture(person, smile.prompt.noise), smile.aus)
    assert picture.tobytes() == shown.tobytes()


def test_a_verifier_of_them_is_judged_on_the_second_edition(world, tmp_path):
    asked = BiasEvaluation(verifier=str(world / "au.safetensors"), faces=12)
    _, _, figures = evaluate_bias(asked, tmp_path / "verifier.md")
    (found,) = json.loads(figures.read_text())["judges"]
    assert list(found["traits"]["skin"]["pale"]["aus"]) == list(DRAWN_AUS.names)
