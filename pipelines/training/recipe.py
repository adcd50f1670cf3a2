"""A recipe, which says what one training has of its own, and the run that is alike for all."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import torch
from PIL.Image import Image

from pipelines.training.data.config import DatasetData, ProceduralData
from pipelines.training.initial import Start
from pipelines.training.learner import Learner
from pipelines.training.processes import Processes, joined, launched
from pipelines.training.provenance import OUR_LICENCE, training_fingerprint
from pipelines.training.session import Session, training_folder
from pipelines.training.settings import TrainingSettings
from synthgen.config.loading import load_section
from synthgen.errors import ConfigError

Settings = TypeVar("Settings", bound=TrainingSettings)


class Recipe(ABC, Generic[Settings]):
    """A training, put together from its configuration; a child sets the attributes.

    Args:
        config: the configuration.
        folder: folder of the training.

    Attributes:
        name: name of the training, as in `synthgen train NAME`.
        settings: class of the configuration.
        makes: file or folder that a finished training leaves, in the folder of the training.
        what: what the weights are, in words for the card.
        free: keys of the configuration that decide nothing about the weights, besides `FREE`.
        shared: whether several processes may share its steps, by `Learner.drawn`.
        learner: what learns.
        facts: what the weights are a function of besides the configuration.
        data: the section of what is learned from, or procedural faces of its own in words.
        start: what the network took from a file before it learned; None: it began at random.
    """

    name: ClassVar[str]
    settings: ClassVar[type[TrainingSettings]]
    makes: ClassVar[str]
    what: ClassVar[str]
    free: ClassVar[tuple[str, ...]] = ()
    shared: ClassVar[bool] = False

    learner: Learner
    facts: dict[str, Any]
    data: ProceduralData | DatasetData | str
    start: Start | None = None

    def __init__(self, config: Settings, folder: Path) -> None:
        self.config = config
        self.folder = folder

    @abstractmethod
    def batches(self, first: int, last: int) -> Iterable[Any]:
        """Return the batches of steps `first` to `last`."""

    def sheet(self) -> Image | None:
        """Draw a sample sheet of the learner's average; None where there are no sheets."""
        return None

    @abstractmethod
    def export(self, about: dict[str, Any]) -> None:
        """Measure and write what a finished training leaves.

        Args:
            about: what the card says of every training.
        """


def run_recipe(
    kind: type[Recipe[Any]],
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train by a recipe and export what it makes; goes on from the folder's checkpoint by itself.

    Processes that torchrun started share each step of a `shared` recipe; the first one writes.

    Args:
        kind: the recipe.
        config_path: YAML file, as the recipe's `settings` describe it.
        out: folder for checkpoint, curves, sheets and what is made; made if missing.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        What the recipe makes (which exists only when the training reached its end).

    Raises:
        SynthgenError: if the configuration, the data, the weights that it reads or the folder do
            not serve, the folder holds another training, or the loss is not finite.
    """
    with launched() as processes, ExitStack() as stack:
        config = load_section(config_path, kind.settings, overrides)
        processes = _joined(processes, config, kind)
        with processes.in_turn():
            processes.check_sees(Path(out))
            folder = stack.enter_context(training_folder(out))
            torch.set_num_threads(config.threads)
            recipe = kind(processes.placed(config), folder)
        learner = recipe.learner
        learner.processes = processes
        begun = recipe.start.facts() if recipe.start else {}
        fingerprint = training_fingerprint(config, *kind.free, **recipe.facts, **begun)
        session = Session(
            kind.name, learner, folder, fingerprint, recipe.batches, recipe.sheet, processes
        )
        session.resume()
        if session.train(stop_at) and processes.first:
            foreign = recipe.data if isinstance(recipe.data, DatasetData) else None
            words = recipe.data if isinstance(recipe.data, str) else "drawn portraits"
            command = f"synthgen train {kind.name} {Path(config_path).name} --to {folder.name}"
            together = {"processes": processes.count} if processes.count > 1 else {}
            recipe.export(
                {
                    "command": command,
                    "what": kind.what,
                    "licence": "as the data that it was trained on" if foreign else OUR_LICENCE,
                    "data": f"{foreign.path} ({foreign.split})" if foreign else words,
                    **recipe.facts,
                    **({"started_from": recipe.start.summary()} if recipe.start else {}),
                    "steps": learner.step,
                    "examples_seen": learner.step * config.batch_size,
                    **together,
                    "configuration": config.model_dump(mode="json"),
                }
            )
    return folder / kind.makes


def _joined(processes: Processes, config: TrainingSettings, kind: type[Recipe[Any]]) -> Processes:
    if processes.count > 1 and not kind.shared:
        raise ConfigError(
            f"synthgen train {kind.name} learns in one process, and {processes.count} were "
            "started; start it without torchrun"
        )
    return joined(processes, config)
