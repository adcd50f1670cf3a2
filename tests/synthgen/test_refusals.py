"""What cannot be is refused alike by `plan`, `check` and `generate`, and nothing is written."""

from pathlib import Path

import pytest
from commands import run

DRAWN = Path(__file__).parents[2] / "examples" / "drawn-faces.yaml"
COMMANDS = (
    ("plan",),
    ("check",),
    ("check", "--gpus", "2", "--rate", "1"),
    ("generate", "--executor", "inline"),
)
FACES = "pipeline={name: fineface-faceid, weights: mini}"
NO_STORE = (
    "none.parquet does not exist; a store is a file that ends in .parquet, .safetensors, .npy, "
    ".npz, or the folder of a dataset"
)
MINI = "embedder: {kind: mini}"
NOBODY = (
    "it compares images with the people of a store; identities.source is 'prompts', it must be "
    "'faceid'"
)

REFUSED = {
    "an unknown key": (
        ["pipeline.bath=1"],
        "--set pipeline.bath=1: unknown key pipeline.bath; did you mean 'batch_size'? There are "
        "batch_size, threads, name, size, edition, au_noise, labels",
    ),
    "a missing key": (
        ["identities={source: prompts}"],
        "--set identities={source: prompts}: key identities.template is missing",
    ),
    "an unknown kind": (
        ["identities.source=prompt"],
        "--set identities.source=prompt: identities.source is 'prompt'; did you mean 'prompts'? "
        "It must be 'prompts' or 'faceid', or package.module:Class",
    ),
    "a threshold out of range": (
        ["verify.policy.max_inactive=-1"],
        "--set verify.policy.max_inactive=-1: verify.policy.max_inactive is -1; it must be at "
        "least 0",
    ),
    "an AU that is not shown": (
        ["expressions={prior: independent, aus: {AU47: {rate: 0.5}}}"],
        None,
    ),
    "a template's unknown slot": (
        ["identities.template='a {agee}'"],
        f"{DRAWN}: identities: template slot {{agee}} has no values under slots; 'age' stands "
        "there, which the template does not name",
    ),
    "a word that nobody draws": (
        ["identities.slots.hair=[black, purple]"],
        "identities.slots.hair: 'purple' names nothing that procedural faces can show; among the "
        "words that do: young, middle-aged, old; man, woman; black, brown, blond, red, gray "
        "(hair); pale, light, tan, brown, dark (skin); bald, curly, long (hair); beard, "
        "moustache, glasses",
    ),
    "an unknown category": (["expressions.categories=[happy, hapy]"], None),
    "a quota of an unknown category": (
        ["expressions.quotas={category: {hapy: 1}}"],
        "expressions.quotas: the prior has no category 'hapy'; did you mean 'happy'? It has "
        "neutral, happy, sad, surprised, fearful, angry, disgusted",
    ),
    "rules that nothing keeps": (
        ["expressions.rules=[{cap: AU12, at: 0}]"],
        "expressions.rules: no vector of category 'happy' keeps 'AU12 at most at 0'; leave one "
        "out, give one a penalty, or change the prior",
    ),
    "too few people": (["samples=3000", "identities.people_per_tuple=1"], None),
    "a missing label file": (
        ["expressions={prior: empirical, labels: none.csv, format: csv}"],
        "there is no label file or folder none.csv",
    ),
    "a missing store": (
        [FACES, "identities={source: faceid, store: none.parquet}"],
        NO_STORE,
    ),
    "a missing store of a check": (
        [f"verify.identity={{{MINI}, forbidden: none.parquet}}"],
        NO_STORE,
    ),
    "a condition that nobody uses": (
        ["samples=48", "identities={source: faceid, store: mini}"],
        "identities.source is 'faceid', which gives faceid, but the pipeline 'procedural' does "
        "not use it; set pipeline.name to 'fineface-faceid' or 'arc2face', or identities.source to "
        "'prompts'",
    ),
    "a condition that nobody gives": (
        [FACES],
        "the pipeline 'fineface-faceid' needs faceid, which neither identities.source 'prompts' "
        "nor expressions.prior 'emotions' gives; set identities.source to 'faceid', or "
        "pipeline.name to 'procedural', 'fineface' or 'fineface-baseline'",
    ),
    "a bound that nothing measures, by the older keys": (
        [f"verify.identity={{{MINI}}}", "verify.policy.min_identity_similarity=0.5"],
        "--set verify.policy.min_identity_similarity=0.5: verify.policy.min_identity_similarity: "
        f"{NOBODY}",
    ),
    "a bound that nothing measures, by checks": (
        [f"verify={{checks: [{{name: faceid, {MINI}, wanted: none.npy}}]}}"],
        "--set verify={checks: [{name: faceid, embedder: {kind: mini}, wanted: none.npy}]}: "
        f"verify.checks.0.wanted: {NOBODY}",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_plan_check_and_generate_refuse_the_same_in_the_same_words(tmp_path, what):
    overrides, sentence = REFUSED[what]
    settings = [f"output.path={tmp_path / 'out'}", *overrides]
    options = [part for setting in settings for part in ("--set", setting)]
    said = set()
    for command, *more in COMMANDS:
        code, output, errors = run(command, DRAWN, *options, *more)
        assert code == 2, f"{command}: {output}{errors}"
        (line,) = [
            line.partition(": ")[2]
            for line in (output + errors).splitlines()
            if line.startswith(("error: ", "problem: "))
        ]
        said.add(line)
    assert len(said) == 1
    assert sentence is None or said == {sentence}
    assert list(tmp_path.iterdir()) == []
