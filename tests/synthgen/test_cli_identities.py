import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from safetensors.numpy import save_file

from synthgen.cli.commands import main
from tests.support.tiny_faces import random_embeddings

CONFIG = {
    "name": "people",
    "seed": 1,
    "samples": 2,
    "output": {"path": "out"},
    "expressions": {"prior": "emotions", "categories": ["happy", "sad"]},
    "pipeline": {"name": "fineface-faceid", "weights": "mini"},
}


def write(path, values):
    match path.suffix:
        case ".npy":
            np.save(path, values)
        case ".npz":
            np.savez(path, embedding=values)
        case ".safetensors":
            save_file({"embedding": values}, path)
        case ".parquet":
            pq.write_table(pa.table({"embedding": values.tolist()}), path)
    return path


def bad(fault):
    values = random_embeddings(4, width=500 if fault == "width" else 512)
    match fault:
        case "nan":
            values[3, 1] = np.nan
        case "zero":
            values[3] = 0
        case "duplicate":
            values[3] = values[1]
    return values


SENTENCES = {
    "nan": ": row 3 (from 0) holds nan at place 1; every number must be finite",
    "zero": ": row 3 (from 0) is all zeros; an embedding needs a direction",
    "duplicate": ": row 1 and row 3 (from 0) hold the same embedding; keep one of them, or let "
    "synthgen faces import --merge-near 0.98 do so",
    "width": ": row 0 (from 0) has 500 numbers; a FaceID embedding has 512",
}


@pytest.mark.parametrize("ending", ["npy", "npz", "safetensors", "parquet"])
@pytest.mark.parametrize("fault", SENTENCES)
def test_a_bad_store_ends_a_plan_with_one_sentence(tmp_path, monkeypatch, capsys, ending, fault):
    store = write(tmp_path / f"faces.{ending}", bad(fault))
    section = {"source": "faceid", "store": str(store), "embedder": "toy"}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({**CONFIG, "identities": section}))
    monkeypatch.setattr(sys, "argv", ["synthgen", "plan", str(config)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert capsys.readouterr().err == f"error: {store}{SENTENCES[fault]}\n"
