"""`synthgen check --gpus …`: how long a run takes on GPUs that are not at hand."""

from pathlib import Path

import pytest
from commands import run

from pipelines.fineface.section import FineFaceConfig
from synthgen.config.base import Weights

EXAMPLES = Path(__file__).parents[3] / "examples"
SD21, DRAWN, MINI = (
    EXAMPLES / f"{name}.yaml" for name in ("fineface-sd21", "drawn-faces", "quickstart")
)
PIPELINE = {"name": "fineface", "weights": {"base": "b", "fineface": "f"}, "dtype": "float16"}
OR_MEASURE = "or measure on such a GPU with `synthgen check CONFIG --measure`"


def test_a_published_figure_answers_how_long(tmp_path):
    asked = ["--gpus", 8, "--gpu-type", "H100", "--samples", 1000, "--cost-per-hour", 2.5]
    code, output, _ = run("check", SD21, "--set", f"output.path={tmp_path}/out", *asked)
    assert (code, output.splitlines()) == (
        0,
        [
            "fineface-faces: 1,000 samples on 8 × H100, an estimate: nothing was looked at or "
            "measured",
            "",
            "rate        1.39 images/s a GPU (published: github.com/alexeigor/sd-benchmarks: "
            "Stable Diffusion 1.5 on an H100 PCIe, one image at a time; batches are faster)",
            "images      at least 1,000: every first image kept, which nobody knows yet",
            "            --acceptance 0.7 reckons with 70% of them",
            "time        at least 1 min 30 s, 0.2 GPU hours, cost 0.5",
            "worst case  66,000 images, 66 a sample, none of them kept:",
            "            1 h 39 min, 13 GPU hours, cost 33",
            "            verify.fuse: 300 of a stratum end it sooner",
            "cost        at 2.5 an hour of a GPU",
        ],
    )
    assert list(tmp_path.iterdir()) == []


def test_a_rate_and_an_acceptance_of_one_s_own(tmp_path):
    asked = ["--gpus", 1, "--rate", 1.5, "--acceptance", 0.7]
    code, output, _ = run("check", DRAWN, *asked)
    lines = output.splitlines()
    assert (code, lines[0].split(",")[0]) == (0, "drawn-faces: 240 samples on 1 GPU")
    assert lines[2:5] == [
        "rate        1.50 images/s a GPU (as --rate says)",
        "images      about 343: 70% kept, as --acceptance says",
        "time        about 3 min 49 s, 0.063 GPU hours",
    ]


def test_what_looks_at_no_image_keeps_every_first_one():
    output = run("check", DRAWN, "--gpus", 2, "--rate", 2, "--set", "verify={checks: []}")[1]
    assert output.splitlines()[3:] == [
        "images      240: no check looks at them, every first one is kept",
        "time        1 min 0 s, 0.033 GPU hours",
    ]


def test_the_price_of_an_actor_is_that_of_its_share_of_a_gpu():
    prices = ["--set", "cluster.cost_per_hour=1", "--set", "cluster.gpus_per_actor=0.5"]
    output = run("check", DRAWN, "--gpus", 1, "--rate", 1, *prices)[1]
    assert output.splitlines()[-1] == "cost        at 2 an hour of a GPU"


@pytest.mark.parametrize(
    ("config", "asked", "said"),
    [
        (
            SD21,
            ["--gpu-type", "A10"],
            "--gpu-type 'A10' has no published figure; those that have one: T4, V100, RTX 3090, "
            f"RTX 4090, A100, H100; give --rate for another, {OR_MEASURE}",
        ),
        (
            MINI,
            ["--gpus", 8, "--gpu-type", "H100"],
            "no published figure holds for pipeline 'fineface' as it is configured: they are for "
            "published weights of photographs, in float16 and with guidance; give --rate, "
            f"{OR_MEASURE}",
        ),
        (DRAWN, ["--gpus", 8], f"give --gpu-type or --rate, {OR_MEASURE}"),
        (DRAWN, ["--samples", 9], f"give --gpu-type or --rate, {OR_MEASURE}"),
    ],
)
def test_without_a_figure_no_time_is_made_up(config, asked, said):
    assert run("check", config, *asked) == (2, "", f"error: {said}\n")


def test_what_cannot_be_so_large_is_a_problem_after_the_answer():
    code, output, _ = run("check", DRAWN, "--gpus", 8, "--rate", 1, "--samples", 10**9)
    assert code == 2
    assert output.startswith("drawn-faces: 1,000,000,000 samples on 8 GPUs, an estimate: ")
    assert "\n\nproblem: identities.template: " in output


def test_machines_that_are_there_are_another_question():
    code, _, error = run("check", DRAWN, "--gpus", 8, "--measure")
    assert code == 2
    assert "--measure and --address look at machines that are there" in error


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("Tesla T4", 0.139),
        ("Tesla V100-SXM2-16GB", 0.531),
        ("NVIDIA GeForce RTX 3090", 0.541),
        ("rtx4090", 1.024),
        ("4090", 1.024),
        ("NVIDIA A100-SXM4-80GB", 1.152),
        ("h100", 0.694),
        ("A10", None),
        ("RTX A1000", None),
        ("GT430", None),
    ],
)
def test_a_gpu_is_known_by_its_model(name, rate):
    section = FineFaceConfig.model_validate({**PIPELINE, "num_inference_steps": 50})
    found = section.known_rate(Weights(), [name])
    assert (found and round(found.value, 3)) == rate


@pytest.mark.parametrize(
    "keys", [{"dtype": "float32"}, {"guidance_scale": 1}, {"width": 768, "height": 768}]
)
def test_a_figure_holds_for_what_was_measured_alone(keys):
    assert FineFaceConfig.model_validate({**PIPELINE, **keys}).published_gpus() == ()
