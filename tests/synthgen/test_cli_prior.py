import subprocess
import sys

import pytest

from samplers import load_prior

COMMAND = [sys.executable, "-m", "synthgen.cli", "prior", "fit"]


def _run(*arguments, cwd):
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, cwd=cwd, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("AU6,AU12\n" + "0,0\n3,4\n0,2.5\n0.4,1\n" * 25)
    return path


def test_a_prior_is_fitted_to_labels(labels, tmp_path):
    code, output, notes = _run("labels.csv", "--format", "csv", "--to", "p.yaml", cwd=tmp_path)
    assert code == 0
    assert output == "p.yaml: fitted to 100 rows; take it by expressions: p.yaml\n"
    assert notes == (
        "note: labels.csv: the highest value is 4, so all are taken to be on the scale 0–5; give "
        "another scale (--scale) if it is not so\n"
        "note: AU1, AU2, AU4, AU5, AU9, AU15, AU17, AU20, AU25, AU26: not coded by the labels, "
        "absent from the prior\n"
        "note: AU6: active in fewer than 30 rows; uncertain\n"
    )
    assert load_prior(tmp_path / "p.yaml").rates()[[4, 6]].tolist() == [0.25, 0.75]


def test_a_malformed_row_is_one_line_and_exit_code_2(labels, tmp_path):
    labels.write_text("AU6,AU12\n0,0\n0,x\n")
    code, output, error = _run("labels.csv", "--format", "csv", "--to", "p.yaml", cwd=tmp_path)
    assert (code, output) == (2, "")
    assert error == "error: labels.csv, line 3: AU12 is 'x'; it must be a number from 0 to 5\n"


def test_lower_intensities_can_count_as_active(labels, tmp_path):
    arguments = ("labels.csv", "--format", "csv", "-o", "p.yaml", "--active-from", "0.2")
    assert _run(*arguments, cwd=tmp_path)[0] == 0
    assert load_prior(tmp_path / "p.yaml").rates()[4] == 0.5


def test_a_prior_is_fitted_to_other_aus(labels, tmp_path):
    arguments = ("labels.csv", "--format", "csv", "-o", "p.yaml", "--aus", "AU12,AU7")
    code, _, notes = _run(*arguments, cwd=tmp_path)
    assert code == 0
    assert "note: AU7: not coded by the labels, absent from the prior\n" in notes
    assert load_prior(tmp_path / "p.yaml").rates().tolist() == [0, 0.75]


def test_a_fit_to_no_aus_of_facs_is_refused(labels, tmp_path):
    arguments = ("labels.csv", "--format", "csv", "-o", "p.yaml", "--aus", "AU12,AU3")
    code, _, error = _run(*arguments, cwd=tmp_path)
    assert code == 2
    assert error.startswith("error: unknown Action Unit 'AU3'; FACS has AU1, AU2, AU4, ")


def test_a_fit_loads_neither_torch_nor_ray(labels, tmp_path):
    script = (
        "import sys; from samplers.priors.fit import write_fit; from pathlib import Path; "
        "write_fit('labels.csv', 'csv', Path('p.yaml')); print({'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "set()\n"


def test_scale_missing_codes_and_sides_are_options(tmp_path):
    (tmp_path / "a.csv").write_text("AU6L,AU6R,AU12L,AU12R\n0,0.5,0.9,0.9\n9,0,0,0\n-1,0,1,0\n")
    arguments = ("a.csv", "--format", "csv", "-o", "p.yaml", "--sides", "max", "--scale", "1")
    code, _, notes = _run(*arguments, "--missing", "-1", "--missing", "9,999", cwd=tmp_path)
    assert code == 0
    assert notes.startswith(
        "note: a.csv: AU6, AU12: the maximum of left and right\n"
        "note: a.csv: AU6: coded in 1 of 3 rows, fewer than half; left out\n"
    )
    assert load_prior(tmp_path / "p.yaml").rates()[6] == pytest.approx(2 / 3, abs=1e-5)


def test_a_table_of_emotions_becomes_the_prior_emotions(tmp_path):
    (tmp_path / "labels.csv").write_text("image,expression,valence\na,1,0\nb,1,0\nc,4,0\nd,8,0\n")
    arguments = ("labels.csv", "--format", "emotions", "--to", "p.yaml")
    code, output, notes = _run(*arguments, cwd=tmp_path)
    assert (code, output) == (0, "p.yaml: fitted to 3 rows; take it by expressions: p.yaml\n")
    assert (
        "note: labels.csv: none (8): 1 row left out: no category of the prior emotions\n" in notes
    )
    assert load_prior(tmp_path / "p.yaml").categories == ("happy", "fearful")


def test_formats_that_exist_are_named(labels, tmp_path):
    code, _, error = _run("labels.csv", "--format", "ck", "--to", "p.yaml", cwd=tmp_path)
    assert (code, error) == (
        2,
        "error: unknown label format 'ck'; those that exist: csv, openface, libreface, pyfeat, "
        "disfa, bp4d, emotions, affectnet, fer2013\n",
    )
