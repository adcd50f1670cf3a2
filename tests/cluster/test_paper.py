"""`synthgen evaluate fineface --protocol paper`, from weights to page, with tiny weights."""

import csv
import shutil

import pytest
from tiny_baselines import make_baseline
from tiny_evaluation import make_adapter, make_base, make_judge_file
from tiny_fineface import make_fineface
from typer.testing import CliRunner

from cluster.paper import PaperPlaces, evaluate_paper
from pipelines.evaluation.judges import find_clip
from pipelines.evaluation.paper.runs import Baseline, PaperEvaluation, find_runs
from synthgen.cli.commands import app
from synthgen.dataset import Storage, layout, read_markers
from synthgen.errors import ConfigError, OutputError, WeightsError

PROMPTS = "prompt,skin\na man in a park,pale\na woman,dark\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    make_base(folder)
    make_fineface(folder / "fineface")
    make_judge_file(folder / "judge.safetensors")
    (folder / "prompts.csv").write_text(PROMPTS)
    return folder


def settings(world, **more):
    return PaperEvaluation(
        weights=str(world / "fineface"),
        base=str(world / "sd"),
        judge=world / "judge.safetensors",
        prompts=str(world / "prompts.csv"),
        combinations=2,
        levels=(5.0,),
        steps=1,
        **more,
    )


def places(folder):
    return PaperPlaces(folder / "page.md", folder / "data")


@pytest.fixture(scope="module")
def made(world):
    """An evaluation that was stopped before its second run, and went on."""

    def stop_at_the_second(line):
        if "without AUs" in line:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_paper(settings(world), places(world / "out"), "inline", stop_at_the_second)
    assert not (world / "out" / "page.md").exists()
    said = []
    files = evaluate_paper(settings(world), places(world / "out"), "inline", said.append)
    return files, said


def images_of(folder):
    storage = Storage(str(folder))
    return {key: marker.files[layout.data_file(*key)].sha256
            for key, marker in read_markers(storage).items()}  # fmt: skip


def rows_of(file):
    return list(csv.DictReader(file.read_text().splitlines()))


def test_a_stopped_evaluation_makes_only_what_is_missing(made, world):
    _, said = made
    assert said == [f"without AUs: 2 images to {world}/out/data/plain"]


def test_page_tables_and_figures_stand_beside_one_another(made):
    files, _ = made
    assert [file.name for file in files] == [
        "page-accuracy.csv",
        "page-errors.csv",
        *(f"page-{name}-{place}{more}.csv" for place in (1, 2) for name, more in (
            ("response", ""), ("cross-talk", "-matrix"), ("cross-talk", ""), ("acceptance", "")
        )),
        *(f"page-{name}.png" for name in (
            "grid", "sweeps", "combinations", "response", "cross-talk"
        )),
        "page.md",
    ]  # fmt: skip
    page = files[-1].read_text()
    for file in files[:-1]:
        assert file.suffix == ".csv" or f"]({file.name})" in page
    assert "2 prompts (from `prompts.csv`), each asked for 12 AUs at 1 intensities (24 images)" in (
        page
    )
    assert "CLIP-I by `image_encoder` of the base itself" in page
    assert "| fineface/au_encoder.ckpt | `" in page
    assert "nan" not in page


def test_tables_count_all_images_and_groups(made):
    by_name = {file.name: file for file in made[0]}
    accuracy = rows_of(by_name["page-accuracy.csv"])
    assert [(row["asked for"], row["model"], row["images"]) for row in accuracy] == [
        ("individual AUs", "FineFace", "24"),
        ("individual AUs", "its neutral face", "–"),
        ("combinations", "FineFace", "4"),
        ("combinations", "its neutral face", "–"),
    ]
    low, value, high = (
        float(accuracy[0][f"AU MSE sum, second judge{end}"]) for end in (" low", "", " high")
    )
    assert 0 < low <= value <= high
    groups = [(row["about"], row["value"]) for row in rows_of(by_name["page-acceptance-2.csv"])]
    assert groups[0] == ("all", "")
    assert groups[-2:] == [("skin", "pale"), ("skin", "dark")]
    assert len(rows_of(by_name["page-cross-talk-2.csv"])) == 12 * 12


def test_the_datasets_are_ordinary_and_start_from_one_noise(made, world):
    datasets = pytest.importorskip("datasets")
    found = datasets.load_dataset(str(world / "out" / "data" / "fineface-lora-1"))["test"]
    plain = datasets.load_dataset(str(world / "out" / "data" / "plain"))["test"]
    assert (len(found), len(plain)) == (2 * (1 + 12 + 2), 2)
    for prompt in ("a man in a park", "a woman"):
        seeds = {row["seed"] for row in found if row["prompt"] == prompt}
        assert seeds == {row["seed"] for row in plain if row["prompt"] == prompt}
        assert len(seeds) == 1


def test_a_further_judge_and_a_sweep_paint_nothing_anew(made, world):
    before = images_of(world / "out" / "data" / "fineface-lora-1")
    times = {file: file.stat().st_mtime_ns for file in (world / "out" / "data").rglob("*.parquet")}
    asked = settings(world, lora_scales=(1.0, 0.25), clip=str(world / "sd" / "image_encoder"))
    # A CLIP of its own needs its processor beside it.
    with pytest.raises(WeightsError) as caught:
        evaluate_paper(asked, places(world / "out"), "inline")
    assert str(caught.value) == (
        f"{world}/sd/image_encoder has no file preprocessor_config.json; it must hold config.json, "
        "model.safetensors, preprocessor_config.json"
    )
    shutil.copytree(world / "sd" / "image_encoder", world / "clip")
    shutil.copy(world / "sd" / "feature_extractor" / "preprocessor_config.json", world / "clip")
    asked = settings(world, lora_scales=(1.0, 0.25), clip=str(world / "clip"))
    own = rows_of(world / "out" / "page-accuracy.csv")
    files = evaluate_paper(asked, places(world / "out"), "inline")
    assert rows_of(world / "out" / "page-accuracy.csv") == own
    assert f"CLIP-I by `{world}/clip`; the paper names none" in files[-1].read_text()
    assert images_of(world / "out" / "data" / "fineface-lora-1") == before
    assert {file: file.stat().st_mtime_ns for file in times} == times
    scales = rows_of(next(file for file in files if file.name == "page-lora-scale.csv"))
    assert [row["lora_scale"] for row in scales] == ["1", "1", "0.25", "0.25"]
    assert scales[0]["CLIP-I to the base"] != scales[2]["CLIP-I to the base"]


@pytest.mark.ray
@pytest.mark.slow
def test_ray_makes_the_same_images(made, world, tmp_path):
    evaluate_paper(settings(world), places(tmp_path), "ray")
    for key in ("fineface-lora-1", "plain"):
        assert images_of(tmp_path / "data" / key) == images_of(world / "out" / "data" / key)
    assert rows_of(tmp_path / "page-accuracy.csv") == rows_of(world / "out" / "page-accuracy.csv")


def test_other_settings_do_not_go_on_in_the_same_folder(made, world):
    asked = settings(world, seed=1)
    with pytest.raises(OutputError, match="seed"):
        evaluate_paper(asked, places(world / "out"), "inline")


def test_rows_of_the_paper_are_runs_of_their_own(world, tmp_path):
    make_adapter(tmp_path / "encoders" / "plain")
    make_adapter(tmp_path / "encoders" / "unsmoothed", smoothed=False)
    (tmp_path / "other.yaml").write_text("name: procedural\n")
    asked = settings(
        world,
        encoders=tmp_path / "encoders",
        baselines=(Baseline("Drawn ones", tmp_path / "other.yaml"),),
    )
    runs = find_runs(asked, asked.asked(), tmp_path / "data")
    assert [(run.key, run.table) for run in runs] == [
        ("fineface-lora-1", 1),
        ("plain", 0),
        ("baseline-drawn-ones", 1),
        ("adapter-plain", 2),
        ("adapter-plain", 3),
        ("adapter-unsmoothed", 3),
    ]
    first = runs[0].config
    assert (first.samples, first.output.shard_size) == (2 * 15, 15)
    assert not first.verify.checks


def test_baselines_are_rows_of_table_1_in_its_order(world, tmp_path):
    for method in ("lora-t", "lora-au", "dreambooth"):
        make_baseline(tmp_path / "methods" / f"my-{method}" / method, method)
    (tmp_path / "methods" / "notes").mkdir()
    asked = settings(world, methods=tmp_path / "methods")
    runs = find_runs(asked, asked.asked(), tmp_path / "data")
    assert [(run.key, run.label) for run in runs if run.table == 1] == [
        ("fineface-lora-1", "FineFace"),
        ("method-words", "AUs in words"),
        ("method-my-dreambooth", "DreamBooth; 1,200 steps of 4 examples"),
        ("method-my-lora-t", "LoRA-T; 1,200 steps of 4 examples"),
        ("method-my-lora-au", "LoRA-AU; 1,200 steps of 4 examples"),
    ]
    ours, words = runs[0].config.pipeline, runs[2].config.pipeline
    for key in ("scheduler", "num_inference_steps", "guidance_scale", "batch_size"):
        assert getattr(words, key) == getattr(ours, key)
    assert asked.command().endswith(" --methods methods --steps 1")


def test_a_table_with_baselines_is_made_by_the_same_command(made, world):
    make_baseline(world / "methods" / "by-au" / "lora-au", "lora-au")
    files = evaluate_paper(
        settings(world, methods=world / "methods"), places(world / "out"), "inline"
    )
    accuracy = rows_of(next(file for file in files if file.name == "page-accuracy.csv"))
    singles = [row for row in accuracy if row["asked for"] == "individual AUs"]
    assert [(row["model"], row["images"]) for row in singles] == [
        ("FineFace", "24"),
        ("its neutral face", "–"),
        ("AUs in words", "24"),
        ("LoRA-AU; 1,200 steps of 4 examples", "24"),
    ]
    for row in singles:
        assert "AU MSE sum, libreface-mini" in row  # which finds no face in such images
        low, value, high = (
            float(row[f"AU MSE sum, second judge{end}"]) for end in (" low", "", " high")
        )
        assert low <= value <= high
    told = {row["CLIP-I to the base"] for row in singles if row["images"] == "24"}
    assert len(told) == 3


def test_a_folder_without_baselines_is_refused(world, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder, said in {
        tmp_path / "gone": f"folder of baselines {tmp_path}/gone does not exist",
        tmp_path / "empty": f"{tmp_path}/empty holds no baseline; each of its folders must be one "
        "that `synthgen train fineface` wrote, with method: dreambooth, lora-t or lora-au, to its "
        "end",
    }.items():
        asked = settings(world, methods=folder)
        with pytest.raises(WeightsError) as caught:
            find_runs(asked, asked.asked(), tmp_path)
        assert str(caught.value) == said


def test_the_paper_asks_for_1650_images_and_their_neutral_faces(tmp_path):
    asked = PaperEvaluation(weights="mini")
    runs = {run.key: run.config for run in find_runs(asked, asked.asked(), tmp_path)}
    assert set(runs) == {"fineface-lora-1", "plain", "drawn"}
    assert runs["fineface-lora-1"].samples == 1650 + 15
    assert runs["plain"].samples == 15
    assert asked.command() == "synthgen evaluate fineface --protocol paper --weights mini"


def test_a_baseline_without_a_pipeline_is_refused(world, tmp_path):
    (tmp_path / "other.yaml").write_text("pipeline: {name: procedural}\n")
    asked = settings(world, baselines=(Baseline("X", tmp_path / "other.yaml"),))
    with pytest.raises(ConfigError) as caught:
        find_runs(asked, asked.asked(), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/other.yaml must hold a section pipeline alone, with its name, such as "
        "name: fineface"
    )


def test_another_kind_of_model_is_no_clip(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    for name in ("model.safetensors", "preprocessor_config.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(WeightsError) as caught:
        find_clip(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} is a model of the type 'bert'; --clip takes a CLIP of transformers, of the "
        "type 'clip' or 'clip_vision_model'"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--clip", "x"],
            "--clip belongs to --protocol paper, and this is --protocol small; leave one of them "
            "out",
        ),
        (
            ["--protocol", "paper", "--row-prompts", "3"],
            "--row-prompts belongs to --protocol small, and this is --protocol paper; leave one of "
            "them out",
        ),
        (
            ["--prompts", "handcrafted"],
            "--prompts is 'handcrafted'; --protocol small takes a number from 2 to 150 (files of "
            "prompts are for --protocol paper)",
        ),
        (
            ["--protocol", "paper", "--baseline", "x.yaml"],
            "--baseline 'x.yaml' must look like DreamBooth=dreambooth.yaml: a name for the tables, "
            "and a file that holds a section pipeline",
        ),
        (
            ["--protocol", "paper", "--to", "x.txt"],
            "--to x.txt must end in .md: tables and figures are written beside the page, named "
            "like it",
        ),
    ],
)
def test_options_that_do_not_fit_end_in_one_sentence(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["evaluate", "fineface", "--weights", "mini", *words])
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == said
    assert not list(tmp_path.iterdir())
