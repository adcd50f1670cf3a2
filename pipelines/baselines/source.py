"""Image source of the baselines."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipelines.baselines.pipeline import BaselinePipeline
from pipelines.baselines.section import BaselineConfig
from pipelines.baselines.weights import BaselineFolders, locate
from pipelines.baselines.words import by_name
from pipelines.diffusion.models import no_progress_bars
from pipelines.diffusion.source import DiffusionSource, make_scheduler, ready
from pipelines.fineface.source import load_stable_diffusion
from samplers.spec import Attempt, SampleSpec


class BaselineSource(DiffusionSource):
    """An `ImageSource` of images of a baseline.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
    """

    name = "fineface-baseline"

    def __init__(self, config: BaselineConfig, device: str) -> None:
        self._folders = locate(config.method, config.weights)
        super().__init__(config, load_baseline(self._folders, config, device))

    def check(self, spec: SampleSpec) -> None:
        """Check that a spec's prompt with its AUs in words is not cut.

        Raises:
            PromptError: if the text encoder would not see its end.
        """
        self._pipeline.check_length(self._pipeline.texts([spec.prompt], [_aus(spec)]))

    def _checksums(self) -> dict[str, str]:
        return self._folders.checksums()

    def _licences(self) -> Mapping[str, str]:
        return self._folders.licences

    def _arguments(self, attempts: Sequence[Attempt]) -> dict[str, Any]:
        specs = [attempt.spec for attempt in attempts]
        return {
            **super()._arguments(attempts),
            "prompt": [spec.prompt for spec in specs],
            "negative_prompt": [spec.negative_prompt for spec in specs],
            "aus": [_aus(spec) for spec in specs],
        }


def load_baseline(
    folders: BaselineFolders, config: BaselineConfig, device: str
) -> BaselinePipeline:
    """Load a base with what was trained beside it, and its sampler.

    Args:
        folders: where the weights are.
        config: sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights do not fit one another.
    """
    with no_progress_bars():
        pipeline = load_stable_diffusion(BaselinePipeline, folders, getattr(torch, config.dtype))
        if folders.folder is not None:
            pipeline.load_trained(folders.folder, config.weights.lora_scale)
    pipeline.scheduler = make_scheduler(config.scheduler, pipeline.scheduler)
    return ready(pipeline, device)


def _aus(spec: SampleSpec) -> dict[str, float]:
    return by_name(spec.action_units.names, spec.aus)
