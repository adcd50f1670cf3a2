"""Quality of the image files: `output.quality`."""

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from cluster.batches import encode_image
from cluster.driver import generate
from synthgen.config import RunConfig
from synthgen.errors import OutputError
from synthgen.report.reproduction import reproduce


def with_output(config: RunConfig, **keys: object) -> RunConfig:
    output = type(config.output).model_validate({**config.output.model_dump(), **keys})
    return config.model_copy(update={"output": output})


@pytest.mark.parametrize("image_format", ["jpeg", "webp"])
def test_less_quality_gives_smaller_files_and_none_is_95(image_format):
    picture = Image.effect_mandelbrot((64, 64), (-2, -1, 1, 1), 50).convert("RGB")
    plain = encode_image(picture, image_format)
    assert encode_image(picture, image_format, 95) == plain
    assert len(encode_image(picture, image_format, 30)) < len(plain)


def test_webp_is_lossy_even_at_100():
    picture = Image.effect_noise((64, 64), 80).convert("RGB")
    again = Image.open(io.BytesIO(encode_image(picture, "webp", 100)))
    assert again.tobytes() != picture.tobytes()


def test_runs_without_it_keep_their_identity(make_config):
    config = with_output(make_config(), image_format="jpeg")
    assert "quality" not in config.identity()["output"]
    assert with_output(config, quality=None).run_id() == config.run_id()
    assert with_output(config, quality=95).run_id() != config.run_id()


def test_a_run_keeps_its_quality_and_says_it_on_the_card(make_config):
    config = with_output(make_config(samples=8), image_format="jpeg", quality=40)
    generate(config, "inline")
    folder = Path(config.output.path)
    rows = pq.read_table(folder / "data" / "train-00000.parquet").to_pylist()
    assert rows[0]["image"]["bytes"].startswith(b"\xff\xd8")
    assert reproduce(config.output.path, rows[0]["sample_id"]).same
    assert "  quality: 40\n" in (folder / "README.md").read_text()
    with pytest.raises(OutputError, match=r"output\.quality: 40 → 60"):
        generate(with_output(config, quality=60), "inline")
