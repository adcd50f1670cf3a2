from pathlib import Path

import pytest
import torch
from arc2face_files import make_arc2face, make_arc2face_base, make_expression_adapter
from diffusers.utils import logging

from pipelines.faceid.network import FaceNetwork, save_face_network

logging.disable_progress_bar()


@pytest.fixture(scope="package")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base of 64×64 with latents of eight channels, Arc2Face beside it, and a face embedder."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("files")
    make_arc2face_base(folder, size=64, levels=4, channels=8)
    make_arc2face(folder, side=8, channels=8)
    make_expression_adapter(folder / "exp_adapter")
    torch.manual_seed(4)
    network = FaceNetwork((2, 2, 2, 2), (1, 1, 1, 1)).eval()
    save_face_network(network, folder / "embedder.safetensors")
    return folder
