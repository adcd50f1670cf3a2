import copy
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from arc2face_files import (
    make_arc2face,
    make_arc2face_base,
    make_expression_adapter,
    make_lcm_lora,
    make_reference_adapter,
)
from diffusers.utils import logging

from pipelines import Arc2FacePipeline

logging.disable_progress_bar()


@dataclass(frozen=True)
class Files:
    base: Path
    published: Path
    expression: Path
    reference: Path
    lcm: Path

    def pipeline(self, **kwargs: object) -> Arc2FacePipeline:
        """Load the published layout, without adapters."""
        pipe = Arc2FacePipeline.from_pretrained(self.published, base=self.base, **kwargs)
        pipe.set_progress_bar_config(disable=True)
        return pipe


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("arc2face")
    return Files(
        base=make_arc2face_base(folder),
        published=make_arc2face(folder),
        expression=make_expression_adapter(folder / "exp_adapter"),
        reference=make_reference_adapter(folder / "ref_adapter"),
        lcm=make_lcm_lora(folder / "lcm"),
    )


@pytest.fixture(scope="session")
def loaded(files: Files) -> Arc2FacePipeline:
    return files.pipeline()


@pytest.fixture
def pipe(loaded: Arc2FacePipeline) -> Arc2FacePipeline:
    """The tiny pipeline, without adapters."""
    parts = {name: copy.deepcopy(part) for name, part in loaded.components.items()}
    pipe = Arc2FacePipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe
