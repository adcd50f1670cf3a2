from pathlib import Path

import pytest
import torch
from diffusers.utils import logging
from tiny_fineface import make_fineface, make_sd

from pipelines.fineface import FineFacePipeline

logging.disable_progress_bar()


@pytest.fixture(scope="session")
def sd_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return make_sd(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def fineface_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fineface(tmp_path_factory.mktemp("fineface"))


@pytest.fixture
def base(sd_folder: Path) -> FineFacePipeline:
    """The tiny base, without an AU adapter."""
    pipeline = FineFacePipeline.from_pretrained(sd_folder)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def pipe(base: FineFacePipeline, fineface_folder: Path) -> FineFacePipeline:
    """The tiny base with the AU adapter."""
    base.load_au_adapter(fineface_folder)
    return base


@pytest.fixture
def noise() -> torch.Tensor:
    """Noise for three images."""
    return torch.randn(3, 4, 16, 16, generator=torch.Generator().manual_seed(5))
