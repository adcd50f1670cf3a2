"""Paints the samples of a run with FineFace."""

from collections.abc import Mapping

from pipelines.fineface.diffusion_source import DiffusionSource, load_pipeline
from pipelines.fineface.pipeline import FineFacePipeline
from pipelines.fineface.weights import checksums, locate
from synthgen.config import FineFaceConfig


class FineFaceSource(DiffusionSource):
    """An `ImageSource` of FineFace images.

    Args:
        config: weights, sampler and number format.
        device: torch device, such as `cpu` or `cuda:0`.

    Raises:
        WeightsError: if weights are missing, cannot be fetched, or do not fit one another.
    """

    name = "fineface"

    def __init__(self, config: FineFaceConfig, device: str) -> None:
        self._folders = locate(config.weights)
        super().__init__(config, load_pipeline(FineFacePipeline, self._folders, config, device))

    def _checksums(self) -> dict[str, str]:
        return {**checksums(self._folders), **self._stored_alpha(self._folders)}

    def _licences(self) -> Mapping[str, str]:
        return self._folders.licences
