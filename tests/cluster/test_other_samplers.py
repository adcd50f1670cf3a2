"""Priors and an identity source that somebody else wrote, and a condition between two of them."""

import importlib
import json
import os
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from pyarrow import parquet

from cluster.driver import generate
from pipelines.loading import check_components, doubts
from samplers import build_plan, load_prior
from samplers.summary import render, summarise
from synthgen.config import load_config, parse_config
from synthgen.dataset import inspect_dataset
from synthgen.errors import ConfigError
from synthgen.report.comparison import compare
from synthgen.report.reproduction import reproduce

MADE_UP = '''
import dataclasses

import numpy as np
from PIL import Image, ImageDraw
from pydantic import Field

from pipelines.interfaces import ImageSource
from samplers import Identities, Identity, Prior
from synthgen.config.identities import IdentitySection
from synthgen.config.pipeline import PipelineSection
from synthgen.config.priors import PriorSection
from synthgen.config.verify import CheckSection


class Smiles(PriorSection):
    """AU6 and AU12 together, as strong as each other."""

    strongest: float = Field(default=5.0, gt=0, le=5, description="Highest intensity.")

    def build(self):
        return SmilePrior(self.au_set, self.strongest)


class SmilePrior(Prior):
    width = 2

    def __init__(self, aus, strongest):
        self.action_units, self.strongest = aus, strongest

    def draw(self, strata, numbers):
        vectors = np.zeros((len(strata), len(self.action_units)), np.float32)
        smiling = numbers[:, 0] < 0.75
        for au in ("AU6", "AU12"):
            intensity = 1 + (self.strongest - 1) * numbers[:, 1]
            vectors[:, self.action_units.index(au)] = np.where(smiling, intensity, 0)
        return vectors


class Moods(Smiles):
    def build(self):
        return MoodPrior(self.au_set, self.strongest)


class MoodPrior(SmilePrior):
    categories = ("calm", "merry")

    def strata(self, seed, split, start, stop):
        return np.arange(start, stop) % 2

    def draw(self, strata, numbers):
        numbers[:, 0] = 1 - strata
        return super().draw(strata, numbers)


class Faces(Moods):
    """Moods with a pose of their own."""

    gives = frozenset({"aus", "pose"})

    def build(self):
        return FacePrior(self.au_set, self.strongest)


class FacePrior(MoodPrior):
    def conditions(self, stratum, aus):
        return {"pose": (float(stratum), max(aus))}


class Silent(Moods):
    gives = frozenset({"aus", "pose"})


class Watched(CheckSection):
    """Looks where heads turn."""

    needs = frozenset({"pose"})

    def load(self, device, run):
        raise NotImplementedError


class Glanced(Watched):
    needs = frozenset()
    takes = frozenset({"pose"})


class Guests(IdentitySection):
    """Guests who turn their heads, each another way."""

    gives = frozenset({"pose"})
    template: str = "a portrait of a guest"

    def build(self, seed, samples, partition, asked, run_id):
        return GuestList(-(-samples // partition.group), run_id)


class Dancers(Guests):
    """Guests who turn their heads where they are asked to."""

    gives = frozenset()
    gives_with = {"pose": "turning"}
    turning: bool = False

    def build(self, seed, samples, partition, asked, run_id):
        built = super().build(seed, samples, partition, asked, run_id)
        return built if self.turning else StillList(built.count, run_id)


class GuestList(Identities):
    slots = ()

    def __init__(self, count, run_id):
        self.count, self.run_id = count, run_id

    def identity(self, number):
        pose = (10.0 * (number % 7 - 3), 0.0)
        return Identity(f"guest-{self.run_id}-{number}", {}, number, "a guest", {"pose": pose})

    def licences(self):
        return {"guests": "CC0-1.0"}


class StillList(GuestList):
    def identity(self, number):
        return dataclasses.replace(super().identity(number), conditions={})


class Turned(PipelineSection):
    """Heads that turn."""

    needs = frozenset({"aus", "pose"})

    def load(self, device):
        return TurnedHeads()


class Willing(Turned):
    """Heads that turn where they are asked to."""

    needs = frozenset({"aus"})
    takes = frozenset({"pose"})


class TurnedHeads(ImageSource):
    def generate(self, attempts):
        return [self.head(attempt) for attempt in attempts]

    def head(self, attempt):
        yaw, _ = attempt.spec.conditions.get("pose", (0.0, 0.0))
        image = Image.new("RGB", (64, 64), "white")
        draw = ImageDraw.Draw(image)
        draw.ellipse((8, 8, 56, 56), outline=attempt.seed % 2**24)
        draw.ellipse((28 + yaw / 2, 28, 36 + yaw / 2, 36 + max(attempt.spec.aus)), fill="black")
        return image


class NoPrior(Smiles):
    def build(self):
        return 3


class OneStream(Smiles):
    def build(self):
        return OneStreamPrior(self.au_set, self.strongest)


class OneStreamPrior(SmilePrior):
    """Draws that follow from what was drawn before."""

    def vectors(self, seed, split, start, strata, replacement=0):
        numbers = np.random.default_rng(seed).random((len(strata), 2))
        return self.draw(strata, numbers)


class Wild(Smiles):
    def build(self):
        return SmilePrior(self.au_set, 9.0)


class Narrow(Smiles):
    def build(self):
        return NarrowPrior(self.au_set, self.strongest)


class NarrowPrior(SmilePrior):
    def draw(self, strata, numbers):
        return super().draw(strata, numbers)[:, :3]


class NoPeople(Guests):
    def build(self, seed, samples, partition, asked, run_id):
        return []


class Forgetful(Guests):
    gives = frozenset({"pose", "age"})
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write the module into the working folder, and return its name."""
    name = f"made_up_{os.urandom(4).hex()}"
    (tmp_path / f"{name}.py").write_text(MADE_UP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    importlib.invalidate_caches()
    return name


@pytest.fixture
def installed(module, tmp_path, monkeypatch):
    """Install the module as a distribution with entry points."""
    about = tmp_path / f"{module}-1.2.dist-info"
    about.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\nLicense: MIT\n"
    (about / "METADATA").write_text(metadata)
    (about / "top_level.txt").write_text(module)
    (about / "RECORD").write_text(f"{module}.py,,\n")
    (about / "entry_points.txt").write_text(
        f"[synthgen.priors]\nsmiles = {module}:Smiles\nmoods = {module}:Moods\n"
        f"[synthgen.identities]\nguests = {module}:Guests\n"
        f"[synthgen.pipelines]\nturned = {module}:Turned\n"
        f"willing = {module}:Willing\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return module


@pytest.fixture
def written(tmp_path, make_config):
    """Return a function that writes a configuration of other components, and reads it."""

    def write(
        prior, source="prompts", pipeline=None, samples=8, of_people=MappingProxyType({}),
        check=None, **expressions,
    ):  # fmt: skip
        data = make_config(samples=samples).model_dump(mode="json")
        data["expressions"] = {"prior": prior, **expressions}
        if source != "prompts":
            data["identities"] = {"source": source, "expressions_per_identity": 2, **of_people}
        if pipeline is not None:
            data["pipeline"] = {"name": pipeline, "batch_size": 4}
        if check is not None:
            data["verify"] = {"checks": ["libreface", check]}
        data["verify"] |= {"on_exhausted": "keep_best", "max_attempts": 1}
        data["output"] |= {"path": str(tmp_path / "out"), "shard_size": 4}
        file = tmp_path / "run.yaml"
        file.write_text(json.dumps(data))
        return load_config(file)

    return write


def _vectors(config):
    plan = build_plan(config)
    return [plan.sample(index).aus for index in range(plan.samples)]


def test_by_dotted_path_all_three_are_planned_generated_extended_and_reproduced(module, written):
    names = [f"{module}:{name}" for name in ("Moods", "Guests", "Turned")]
    config = written(*names)
    assert parse_config(config.model_dump(mode="json")) == config
    text = render(summarise(build_plan(config)))
    assert "merry" in text
    assert generate(config, "inline").rows == 8

    more = written(*names, samples=12)
    assert _vectors(more)[:8] == _vectors(config)
    assert generate(more, "inline").rows == 12
    assert inspect_dataset("out").problems == ()
    assert reproduce("out", f"sample-{config.run_id()}-00000009").same

    record = json.loads(Path("out/.synthgen/run.json").read_text())
    assert record["identity"]["configuration"]["expressions"]["prior"] == names[0]
    assert record["identity"]["versions"][module].startswith("sha256:")
    assert record["licences"]["guests"] == "CC0-1.0"
    rows = parquet.read_table(sorted(Path("out/data").glob("train-*"))[0])
    assert rows["identity_id"][0].as_py().startswith(f"guest-{config.run_id()}-")
    assert compare("out").asked == {"calm": 0.5, "merry": 0.5}


def test_installed_they_go_by_short_names(installed, written):
    config = written("smiles", "guests", "turned", strongest=3)
    assert generate(config, "inline").rows == 8
    record = json.loads(Path("out/.synthgen/run.json").read_text())
    assert record["identity"]["versions"][installed] == "1.2"
    assert record["licences"][installed] == "MIT"
    vectors = np.array(_vectors(config))
    assert vectors.max() <= 3


def test_rules_quotas_and_mixtures_work_on_a_prior_of_somebody_else(module):
    smiles = {"prior": f"{module}:Smiles"}
    sys.path.append(str(Path.cwd()))
    ruled = load_prior({**smiles, "rules": [{"cap": "AU12", "at": 3}]})
    assert 0 < ruled.sample(200, seed=1).max() <= 3
    held = load_prior({**smiles, "quotas": {"aus": {"AU12": 0.5}}})
    shown = held.sample(200, seed=1)[:, held.action_units.index("AU12")]
    assert (shown > 0).sum() == pytest.approx(100, abs=2)
    moods = {"prior": f"{module}:Moods"}
    emotions = {"prior": "emotions", "categories": ["happy", "sad"]}
    mixed = load_prior({"prior": "mixture", "of": [moods, {**emotions, "weight": 3}]})
    assert mixed.categories == ("calm", "merry", "happy", "sad")
    assert mixed.category_shares()["merry"] == pytest.approx(0.125)
    assert mixed.ambiguous() == ()
    rates = load_prior(smiles).rates()
    assert rates.max() == pytest.approx(0.75, abs=0.005)
    with pytest.raises(ConfigError) as caught:
        load_prior({**smiles, "sampling": "sobol"})
    assert str(caught.value) == (
        f"expressions.sampling is 'sobol'; prior '{module}:Smiles' can have 'random' alone"
    )


def test_a_condition_that_nobody_takes_or_gives_is_told(module, written):
    guests, turned = f"{module}:Guests", f"{module}:Turned"
    prior = f"{module}:Smiles"
    with pytest.raises(ConfigError) as caught:
        check_components(written(prior, guests))
    assert str(caught.value) == (
        f"identities.source is '{guests}', which gives pose, but the pipeline 'procedural' does "
        "not use it; set identities.source to 'prompts' or 'faceid'"
    )
    with pytest.raises(ConfigError) as caught:
        check_components(written(prior, pipeline=turned))
    assert str(caught.value) == (
        f"the pipeline '{turned}' needs pose, which neither identities.source 'prompts' nor "
        f"expressions.prior '{prior}' gives; set pipeline.name to 'procedural', 'fineface', "
        "'fineface-faceid', 'fineface-baseline' or 'arc2face'"
    )
    config = written(prior, guests, turned)
    check_components(config)
    assert doubts(config) == []
    spec = build_plan(config).sample(2)
    assert spec.condition("pose", tuple) == (-20.0, 0.0)
    assert spec.faceid is None
    with pytest.raises(ConfigError) as caught:
        spec.condition("pose", list)
    assert str(caught.value) == (
        f"the condition 'pose' of {spec.sample_id} is a tuple; it must be a list"
    )
    with pytest.raises(ConfigError) as caught:
        spec.condition("flame", tuple)
    assert str(caught.value) == f"{spec.sample_id} has no condition 'flame'; it has aus, pose"


def test_what_a_check_needs_or_takes_counts_too(module, written):
    prior, guests, watched = (f"{module}:{name}" for name in ("Smiles", "Guests", "Watched"))
    for check in (watched, f"{module}:Glanced"):
        check_components(written(prior, guests, check=check))
    check_components(written(prior, check=f"{module}:Glanced"))
    with pytest.raises(ConfigError) as caught:
        check_components(written(prior, check=watched))
    assert str(caught.value) == (
        f"the check '{watched}' needs pose, which neither identities.source 'prompts' nor "
        f"expressions.prior '{prior}' gives; leave the check out"
    )


def test_a_key_decides_what_is_given_and_a_pipeline_takes_what_it_need_not_have(module, written):
    dancers, turned, willing = (f"{module}:{name}" for name in ("Dancers", "Turned", "Willing"))
    prior = f"{module}:Smiles"
    for turning in (False, True):
        config = written(prior, dancers, willing, of_people={"turning": turning})
        assert config.identities.given() == ({"pose"} if turning else set())
        assert config.pipeline.used() == {"aus", "pose"}
        check_components(config)
        assert ("pose" in build_plan(config).sample(2).conditions) is turning
    check_components(written(prior, dancers, turned, of_people={"turning": True}))
    with pytest.raises(ConfigError) as caught:
        check_components(written(prior, dancers, turned))
    assert str(caught.value) == (
        f"the pipeline '{turned}' needs pose, which neither identities.source '{dancers}' nor "
        f"expressions.prior '{prior}' gives; set identities.turning, or pipeline.name to "
        "'procedural', 'fineface', 'fineface-faceid', 'fineface-baseline' or 'arc2face'"
    )
    with pytest.raises(ConfigError) as caught:
        check_components(written(prior, dancers, of_people={"turning": True}))
    assert str(caught.value) == (
        "identities.turning gives pose, but the pipeline 'procedural' does not use it; leave "
        "identities.turning out"
    )


def test_the_ways_name_pipelines_that_take_what_is_given(installed, written):
    with pytest.raises(ConfigError) as caught:
        check_components(written("smiles", "guests"))
    assert str(caught.value) == (
        "identities.source is 'guests', which gives pose, but the pipeline 'procedural' does not "
        "use it; set pipeline.name to 'turned' or 'willing', or identities.source to 'prompts' or "
        "'faceid'"
    )


def test_a_prior_gives_conditions_too(module, written):
    faces, turned = f"{module}:Faces", f"{module}:Turned"
    quotas = {"aus": {"AU12": {"0-3": 0.5, "4-5": 0.5}}}
    for keys in ({}, {"quotas": quotas}, {"rules": [{"at_most": 5}]}):
        config = written(faces, pipeline=turned, **keys)
        check_components(config)
        specs = [build_plan(config).sample(index) for index in range(8)]
        moods = ["calm", "merry"]
        for spec in specs:
            assert spec.emotion in moods
            assert spec.condition("pose", tuple) == (moods.index(spec.emotion), max(spec.aus))
    assert generate(written(faces, pipeline=turned), "inline").rows == 8

    with pytest.raises(ConfigError) as caught:
        check_components(written(faces, f"{module}:Guests", turned))
    assert str(caught.value) == (
        f"identities.source '{module}:Guests' and expressions.prior '{faces}' both give pose; set "
        "one of them to one that does not"
    )
    with pytest.raises(ConfigError) as caught:
        written("mixture", of=[{"prior": faces}])
    assert str(caught.value).endswith(
        "expressions.of.0: a component gives pose; a mixture gives aus alone"
    )
    data = config.model_dump(mode="json")
    data["identities"]["neutral_image"] = True
    sys.path.append(str(Path.cwd()))
    with pytest.raises(ConfigError) as caught:
        build_plan(parse_config(data))
    assert str(caught.value) == (
        f"identities.neutral_image adds faces without pose, which expressions.prior '{faces}' "
        "gives; leave one of them out"
    )


@pytest.mark.parametrize(
    ("prior", "source", "said"),
    [
        (
            "NoPrior",
            "prompts",
            "expressions.prior is '{m}:NoPrior', whose build() returns a int; it must return a "
            "samplers.Prior",
        ),
        (
            "OneStream",
            "prompts",
            "expressions.prior is '{m}:OneStream', whose draws at a position are others alone than "
            "among others; they must follow from seed, split and position",
        ),
        (
            "Wild",
            "prompts",
            "expressions.prior is '{m}:Wild', whose draws lie in [0, 7.52048]; set "
            "allow_out_of_range: true to allow intensities outside [0, 5]",
        ),
        (
            "Narrow",
            "prompts",
            "expressions.prior is '{m}:Narrow', whose draws of 16 positions have the shape "
            "(16, 3); it must be (16, 12), an intensity for each AU",
        ),
        (
            "Silent",
            "prompts",
            "expressions.prior is '{m}:Silent', which gives aus; its section says that it gives "
            "aus, pose",
        ),
        (
            "Smiles",
            "NoPeople",
            "identities.source is '{m}:NoPeople', whose build() returns a list; it must return a "
            "samplers.Identities",
        ),
        (
            "Smiles",
            "Forgetful",
            "identities.source is '{m}:Forgetful', whose identities have the conditions pose; its "
            "section says that it gives age, pose",
        ),
    ],
)
def test_what_cannot_be_used_is_said(module, written, prior, source, said):
    source = source if source == "prompts" else f"{module}:{source}"
    config = written(f"{module}:{prior}", source)
    with pytest.raises(ConfigError) as caught:
        build_plan(config)
    assert str(caught.value) == said.format(m=module)
