import json
from pathlib import Path

import pytest

from cluster.driver import generate
from cluster.preflight import preflight
from synthgen.errors import OutputError


def _empirical(labels):
    return {"prior": "empirical", "labels": str(labels), "format": "csv", "smoothing": 0.2}


def test_other_labels_under_the_same_name_are_another_dataset(make_config, digests, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("AU6,AU12\n0,0\n3,4\n0,2\n")
    config = make_config(samples=12, expressions=_empirical(labels), verify={"max_attempts": 1})
    generate(config, "inline")
    before = digests(config)
    record = json.loads((Path(config.output.path) / ".synthgen" / "run.json").read_text())
    checksum = record["identity"]["labels"]["labels.csv"]
    generate(config, "inline")
    labels.write_text("AU6,AU12\n0,0\n3,4\n0,3\n")
    with pytest.raises(OutputError) as caught:
        generate(config, "inline")
    assert f'(labels.labels.csv: "{checksum[:38]}… → "' in str(caught.value)
    assert digests(config) == before


def test_a_prior_without_labels_leaves_the_identity_as_it_was(make_config):
    config = make_config(samples=4, verify={"max_attempts": 1})
    generate(config, "inline")
    record = json.loads((Path(config.output.path) / ".synthgen" / "run.json").read_text())
    assert set(record["identity"]) == {"configuration", "weights", "versions"}


def test_labels_inside_a_mixture_are_found_from_any_folder(make_config):
    parts = [{"weight": 2.0, **_empirical("a.csv")}, _empirical("/labels/b.csv")]
    config = make_config(expressions={"prior": "mixture", "of": parts})
    found = config.expressions.with_absolute_paths()
    paths = [part.section.labels for part in found.of]
    assert paths == [str(Path("a.csv").absolute()), "/labels/b.csv"]
    plain = make_config().expressions
    assert plain.with_absolute_paths() == plain


def test_a_begun_run_whose_labels_lie_in_the_working_folder_is_checked(
    make_config, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("labels.csv").write_text("AU6,AU12\n0,0\n3,4\n0,2\n")
    changes = {"expressions": _empirical("labels.csv"), "verify": {"max_attempts": 1}}
    generate(make_config(samples=4, **changes), "inline")
    report = preflight(make_config(samples=6, **changes), cluster=False)
    assert [found.text for found in report.findings if found.severity == "problem"] == []


def test_keys_of_reading_that_are_not_set_stay_out_of_the_identity(make_config):
    plain = make_config(expressions=_empirical("a.csv"))
    assert not {"scale", "missing", "sides"} & set(plain.identity()["expressions"])
    said = {"scale": 1, "missing": [9], "sides": "max"}
    config = make_config(expressions={**_empirical("a.csv"), **said})
    assert said.items() <= config.identity()["expressions"].items()
