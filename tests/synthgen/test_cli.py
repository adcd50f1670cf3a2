import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml
from commands import run
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
DRAWN = REPOSITORY / "examples" / "drawn-faces.yaml"
COMMAND = [sys.executable, "-m", "synthgen.cli"]


def small(out, *more):
    settings = [f"output.path={out}", "samples=48", "output.shard_size=12", *more]
    return [DRAWN, *(part for setting in settings for part in ("--set", setting))]


def digests(folder):
    files = sorted([*folder.glob("data/*"), *folder.glob("rejects/*")])
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "out"
    code, output, _ = run("generate", *small(out), "--executor", "inline")
    assert code == 0
    return out, output


def test_less_than_was_asked_for_ends_with_exit_code_3_and_nothing_to_load(tmp_path):
    strict = ["verify.policy={max_active_error: 0, max_inactive: 0}", "verify.on_exhausted=drop"]
    more = ["samples=3", "verify.max_attempts=1", "pipeline.batch_size=3", *strict]
    code, output, _ = run("generate", *small(tmp_path / "o", *more), "--executor", "inline")
    lines = output.splitlines()
    assert (code, lines[0]) == (3, "less than asked: 0 of 3 samples; these strata fell short:")
    assert lines[-1] == "nothing to load: no sample has an image that was kept"
    code, output, _ = run("status", tmp_path / "o")
    assert (code, output.splitlines()[:2]) == (
        0,
        [
            f"{tmp_path}/o: finished with less than was asked",
            "0 of 3 samples (0.0%), 1 of 1 shards",
        ],
    )
    code, output, _ = run("inspect", tmp_path / "o")
    said = "less than asked, but what is there is whole: all checksums agree"
    assert (code, output.splitlines()[-1]) == (3, said)


def test_help_lists_every_command_and_loads_neither_torch_nor_ray():
    done = subprocess.run([*COMMAND, "--help"], capture_output=True, text=True)
    assert done.returncode == 0
    for command in ("generate", "plan", "preview", "image", "inspect", "reproduce", "init"):
        assert f" {command} " in done.stdout
    script = "import sys, synthgen.cli; print({'torch', 'ray', 'diffusers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n"


def test_every_command_is_in_the_readme():
    readme = (REPOSITORY / "README.md").read_text()
    _, output, _ = run("--help")
    commands = re.findall(r"│ ([a-z-]+)  ", output.split("Commands")[1])
    for command in commands:
        assert f"synthgen {command}" in readme, command


def test_generate_says_where_the_dataset_is_and_how_to_load_it(dataset):
    out, output = dataset
    lines = output.splitlines()
    assert re.fullmatch(rf"{out}: 48 samples from \d+ images \(\d+% kept\)", lines[0])
    assert lines[-1] == f'load it: datasets.load_dataset("{out}")'


def test_a_split_that_gets_no_sample_is_told_by_plan_check_and_generate(tmp_path):
    few = small(tmp_path / "o", "samples=6")
    said = (
        "validation and test get no sample: 6 samples are 1 identity; from 37 samples on each gets "
        "some, or with a larger share in output.splits, or fewer expressions_per_identity"
    )
    assert f"\nnote: {said}\n" in run("plan", *few)[1]
    assert run("check", *few)[1].endswith(f"\nwarning: {said}\n")
    _, output, _ = run("generate", *few, "--executor", "inline")
    assert output.splitlines()[-3] == f"note: {said}"
    one = run("plan", *few, "--set", "samples=24")[1]
    assert (
        "\nnote: validation gets no sample: 24 samples are 4 identities; from 37 samples on it "
        "gets some, or with a larger share in output.splits, or fewer expressions_per_identity\n"
    ) in one
    assert "gets no sample" not in run("plan", *few, "--set", "samples=37")[1]


def test_report_compares_asked_drawn_and_delivered(dataset):
    code, output, _ = run("report", dataset[0])
    assert code == 0
    lines = output.splitlines()
    assert re.fullmatch(r".*: 48 samples from \d+ images, 0 missing", lines[0])
    assert any(re.fullmatch(r"happy +14\.3%( +\d+\.\d%){2}", line) for line in lines)
    assert any(re.fullmatch(r"AU12 +lip corner puller( +\d+\.\d%){4}", line) for line in lines)


def test_report_of_no_dataset_is_one_line(tmp_path):
    code, _, errors = run("report", tmp_path)
    assert (code, errors) == (
        2,
        f"error: there is no synthgen dataset in {tmp_path}: no .synthgen/run.json\n",
    )


def test_plan_draws_a_picture(tmp_path):
    code, output, _ = run("plan", *small(tmp_path / "out"), "--plot", tmp_path / "plan.png")
    assert code == 0
    last = f"{tmp_path}/plan.png: marginals, co-occurrence, active AUs, strata"
    assert output.splitlines()[-1] == last
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_inspect_finds_nothing_wrong_and_then_a_flipped_byte(dataset, tmp_path):
    out, _ = dataset
    code, output, _ = run("inspect", out)
    assert code == 0
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", out, copy], check=True)
    shard = copy / "data" / "train-00001.parquet"
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    code, output, _ = run("inspect", copy)
    assert code == 2
    assert "data/train-00001.parquet has sha256" in output


def test_reproduce_makes_the_same_bytes(dataset, tmp_path):
    out, _ = dataset
    pair = tmp_path / "pair.png"
    _, planned, _ = run("plan", *small(tmp_path), "-n", "14")
    sample = re.findall(r"^sample-[0-9a-f]{8}-00000013(?=  )", planned, re.M)[0]
    code, output, _ = run("reproduce", out, sample, "-o", pair)
    assert (code, output) == (0, f"{sample}: the same image, byte by byte\n")
    assert pair.read_bytes().startswith(b"\x89PNG")


def test_merge_selects_and_reproduce_and_generate_point_to_the_source(dataset, tmp_path):
    out, to = dataset[0], tmp_path / "few"
    where = "emotion in ['happy', 'sad'] and accepted"
    code, output, _ = run("merge", out, "--to", to, "--where", where, "--balance", "emotion")
    assert code == 0
    lines = output.splitlines()
    assert re.fullmatch(
        rf"{to}: \d+ samples of \d+ identities from 1 dataset "
        r"\(train \d+, validation \d+, test \d+\), \d+ rejected attempts?",
        lines[0],
    )
    assert re.fullmatch(r"left out: \d+ by --where(, \d+ by --balance)?", lines[1])
    assert lines[-1] == f'load it: datasets.load_dataset("{to}")'
    assert run("inspect", to)[0] == 0
    rows = pq.read_table(to / "data" / "train-00000.parquet", columns=["sample_id", "emotion"])
    sample = rows["sample_id"][0].as_py()
    assert run("reproduce", to, sample) == (
        2,
        "",
        f"error: {to} was merged, and {sample} comes from 'drawn-faces', which can make it again; "
        f"run: synthgen reproduce {out} {sample}\n",
    )
    code, _, error = run("generate", *small(to), "--executor", "inline")
    assert (code, error.splitlines()[-1]) == (
        2,
        f"error: {to} was merged from drawn-faces ({out}), and no run goes on there; run each in "
        "its own dataset and merge them again, choose another output.path, or start anew with "
        "--overwrite",
    )
    assert run("report", to)[::2] == (
        2,
        f"error: {to} was merged and has no configuration of its own; look at what it was merged "
        f"from: drawn-faces ({out})\n",
    )
    assert run("merge", out, "--to", tmp_path / "x", "--where", "open('x')")[::2] == (
        2,
        "error: --where: \"open('x')\" is not understood; allowed are columns, numbers, texts, "
        "lists, None, ==, !=, <, <=, >, >=, in, not in, is, is not, and, or, not and brackets, as "
        "in emotion == 'happy' and active_error < 0.5\n",
    )
    assert not (tmp_path / "x").exists()


def test_reproduce_of_an_unknown_sample(dataset):
    out, _ = dataset
    assert run("reproduce", out, "sample-9") == (2, "", f"error: {out} has no sample 'sample-9'\n")


def test_preview_writes_a_sheet_of_first_attempts(tmp_path):
    sheet = tmp_path / "sheet.png"
    code, output, _ = run("preview", DRAWN, "-n", 4, "-o", sheet)
    assert code == 0
    assert re.fullmatch(rf"{sheet}: 4 first attempts, [0-4] of them accepted( \(.*\))?\n", output)
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_preview_tells_how_many_it_made_and_why_none_is_accepted(tmp_path):
    strict = "verify.policy={max_active_error: 0, max_inactive: 0}"
    few = ["--set", "samples=3", "--set", "pipeline.batch_size=3", "--set", strict]
    code, output, _ = run("preview", DRAWN, *few, "-n", 4, "-o", tmp_path / "sheet.png")
    assert code == 0
    assert re.search(r": 3 first attempts, 0 of them accepted \(\d \w+.*\)\n$", output)


def test_image_paints_a_portrait_and_refuses_an_unknown_au(tmp_path):
    file = tmp_path / "x.png"
    assert run("image", "an old man", "--au", "AU12=5", "-o", file)[0] == 0
    assert file.read_bytes().startswith(b"\x89PNG")
    code, _, error = run("image", "an old man", "--au", "AU7=5", "-o", tmp_path / "y.png")
    assert (code, error) == (
        2,
        "error: AU7 (lid tightener) exists in FACS, but the pipeline 'fineface' does not show it; "
        "it shows AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, AU20, AU25, AU26\n",
    )
    assert not (tmp_path / "y.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--au", "AU12"], "--au 'AU12' must look like AU12=5"),
        (["--au", "AU12=much"], "--au 'AU12=much' must look like AU12=5"),
        (
            ["--au", "au12=9"],
            "--au 'au12=9' is outside [0, 5]; expressions.allow_out_of_range: true allows it",
        ),
        (
            ["--au", "AU12=101", "--set", "expressions.allow_out_of_range=true"],
            "--au 'AU12=101' is outside [-100, 100]",
        ),
        (["--au", "AU12=nan"], "intensity of AU12 is nan; it must be a finite number"),
        (["--au", "AU12=1", "--au", "au012=2"], "--au gives AU12 twice; give it once"),
    ],
)
def test_what_is_no_intensity_of_an_au_is_refused(tmp_path, options, message):
    found = run("image", "an old man", "--config", DRAWN, *options, "-o", tmp_path / "x.png")
    assert found == (2, "", f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_an_au_may_be_written_small_and_beyond_five_where_the_configuration_allows_it(tmp_path):
    drawn = ["image", "an old man", "--config", DRAWN, "--au"]
    assert run(*drawn, "AU12=4", "-o", tmp_path / "a.png")[0] == 0
    assert run(*drawn, "au12=4", "-o", tmp_path / "b.png")[0] == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    beyond = ["AU12=6", "--set", "expressions.allow_out_of_range=true"]
    assert run(*drawn, *beyond, "-o", tmp_path / "c.png")[0] == 0


@pytest.mark.parametrize("command", [[], ["generate"], ["train"], ["faces", "invent"]])
def test_h_is_help_of_every_command(command):
    short, long = run(*command, "-h"), run(*command, "--help")
    assert short == long
    assert short[0] == 0
    assert "Usage: " in short[1]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["genrate"], "Did you mean 'generate'?"),
        (["train", "finefase"], "Did you mean 'fineface'?"),
        (["faces", "invnt"], "Did you mean 'invent'?"),
        (["generate", "x.yaml", "--overide"], "--overwrite"),
    ],
)
def test_a_mistyped_command_or_option_is_answered_with_the_nearest(typed, meant):
    code, output, error = run(*typed)
    assert (code, output) == (2, "")
    assert meant in " ".join(error.replace("│", " ").split())


def test_image_paints_by_a_configuration_and_its_overrides(tmp_path):
    file = tmp_path / "x.jpg"
    options = ["--config", DRAWN, "--set", "pipeline.size=96", "-o", file]
    assert run("image", "an old man", *options) == (0, f"{file}\n", "")
    assert Image.open(file).size == (96, 96)


def test_a_sweep_is_a_strip_of_six_measured_intensities(tmp_path):
    file = tmp_path / "strip.png"
    options = ["--sweep", "AU12", "--au", "AU6=2", "--config", DRAWN]
    assert run("image", "an old man", *options, "-o", file) == (0, f"{file}\n", "")
    assert Image.open(file).size == (6 * 168 + 8, 160 + 2 * 13 + 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--sweep", "AU12", "--au", "AU12=2"],
            "AU12 is swept from 0 to 5; leave out --au AU12=…",
        ),
        (
            ["--sweep", "AU7"],
            "AU7 (lid tightener) exists in FACS, but the pipeline 'fineface' does not show it; it "
            "shows AU1, AU2, AU4, AU5, AU6, AU9, AU12, AU15, AU17, AU20, AU25, AU26",
        ),
    ],
)
def test_a_sweep_of_what_cannot_be_swept_is_refused(tmp_path, options, message):
    found = run("image", "an old man", *options, "-o", tmp_path / "strip.png")
    assert found == (2, "", f"error: {message}\n")
    assert list(tmp_path.iterdir()) == []


def test_embedded_weights_need_no_fetching():
    assert run("weights", "fetch", DRAWN) == (
        0,
        "nothing to fetch: what this configuration needs is part of synthgen\n",
        "",
    )


def test_plan_prints_the_first_specs_without_torch():
    script = (
        "import sys; sys.argv = ['synthgen', 'plan', sys.argv[1]]\n"
        "from synthgen.cli import app\n"
        "app(standalone_mode=False)\n"
        "print({'torch', 'ray', 'diffusers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(DRAWN)], capture_output=True, text=True
    )
    assert re.search(r"^sample-[0-9a-f]{8}-00000000  ", done.stdout, re.M)
    assert done.stdout.endswith("set()\n")


def test_init_writes_an_example_that_is_a_configuration(tmp_path):
    code, output, _ = run("init", "quickstart", cwd=tmp_path)
    assert (code, output) == (
        0,
        "quickstart.yaml written; run: synthgen generate quickstart.yaml\n",
    )
    assert yaml.safe_load((tmp_path / "quickstart.yaml").read_text())["samples"] == 240
    assert run("init", "quickstart", cwd=tmp_path)[0::2] == (
        2,
        "error: quickstart.yaml is there already; choose another file with --to\n",
    )
    assert run("init", "sd3", cwd=tmp_path)[0::2] == (
        2,
        "error: no example 'sd3'; those that exist: quickstart, drawn, sd21, faceid, faceid-mini, "
        "arc2face\n",
    )
    assert run("init", "quikstart", cwd=tmp_path)[0::2] == (
        2,
        "error: no example 'quikstart'; did you mean 'quickstart'? Those that exist: quickstart, "
        "drawn, sd21, faceid, faceid-mini, arc2face\n",
    )


def test_config_schema_describes_every_field():
    code, output, _ = run("config-schema")
    assert code == 0
    schema = json.loads(output)
    components = [
        section
        for key in ("pipeline", "identities", "expressions")
        for section in schema["properties"][key]["oneOf"]
        if "properties" in section
    ]
    sections = [schema, *schema["$defs"].values(), *components]
    fields = [(name, field) for part in sections for name, field in part["properties"].items()]
    undescribed = [name for name, field in fields if not field.get("description")]
    assert set(undescribed) == {"prior", "name", "source"}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["samples=-1"], "samples is -1; it must be at least 1"),
        (["pipeline.bath=1"], "unknown key pipeline.bath"),
        (
            ["samples=3000", "identities.people_per_tuple=1"],
            "identities.template: its slots yield 240 different tuples of values for the split "
            "'train', but samples: 3000 with expressions_per_identity: 6 ask for 400 identities; "
            "add values or slots, raise expressions_per_identity, or set people_per_tuple to 2 or "
            "more",
        ),
        (
            ["expressions.categories=[happy, joy]"],
            "expressions.categories: unknown category 'joy'; those that exist: neutral, happy, ",
        ),
        (
            ["identities.slots.hair=[black, purple]"],
            "identities.slots.hair: 'purple' names nothing that procedural faces can show; among ",
        ),
    ],
)
def test_bad_configurations_end_with_one_sentence_and_nothing_written(tmp_path, overrides, message):
    settings = [f"output.path={tmp_path / 'out'}", *overrides]
    options = [part for setting in settings for part in ("--set", setting)]
    code, output, error = run("generate", DRAWN, *options, "--executor", "inline")
    assert (code, output) == (2, "")
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_output_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    code, _, error = run("generate", *small(file / "out"), "--executor", "inline")
    assert code == 2
    assert error.splitlines()[-1] == f"error: {file} is a file; choose a folder for output.path"


@pytest.mark.parametrize(
    "executor",
    [
        "inline",
        # As the fault matrix does at each moment, which CI runs.
        pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.slow]),
    ],
)
def test_a_killed_driver_is_continued_to_the_same_bytes(dataset, tmp_path, executor):
    out = tmp_path / "out"
    arguments = [*COMMAND, "generate", *map(str, small(out)), "--executor", executor]
    process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL, start_new_session=True)
    markers = out / ".synthgen" / "shards"
    deadline = time.monotonic() + 90
    while not list(markers.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    committed = len(list(markers.glob("*.json")))
    assert committed > 0
    assert run("generate", *small(out), "--executor", executor)[0] == 0
    assert digests(out) == digests(dataset[0])


@pytest.mark.parametrize(
    ("executor", "sent", "expected"),
    [
        ("inline", signal.SIGINT, 130),
        ("inline", signal.SIGTERM, 143),
        pytest.param("ray", signal.SIGTERM, 143, marks=[pytest.mark.ray, pytest.mark.slow]),
    ],
)
def test_a_signal_ends_cleanly_and_the_same_command_continues(
    dataset, tmp_path, executor, sent, expected
):
    out = tmp_path / "out"
    arguments = [*COMMAND, "generate", *map(str, small(out)), "--executor", executor]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    markers = out / ".synthgen" / "shards"
    deadline = time.monotonic() + 90
    while not list(markers.glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(sent)
    _, error = process.communicate(timeout=60)
    if process.returncode != 0:  # it may have been done before the signal came
        assert process.returncode == expected
        assert error.splitlines()[-1] == "stopped; whole shards stay, the same command continues"
        assert "Traceback" not in error
        assert "*** SIG" not in error
        assert not (out / ".synthgen" / "lease.json").exists()
    assert run("generate", *small(out), "--executor", "inline")[0] == 0
    assert digests(out) == digests(dataset[0])
