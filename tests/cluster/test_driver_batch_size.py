import pytest

from cluster.driver import generate
from cluster.worker import Worker
from synthgen.config import load_config
from synthgen.dataset import Storage, read_record
from synthgen.errors import OutputError


def test_a_batch_size_is_probed_once_and_then_kept(make_config, monkeypatch, digests):
    config = make_config(samples=12, pipeline={"batch_size": "auto"})
    first = generate(config, "inline")
    before = digests(config)
    size = read_record(Storage(config.output.path)).configuration["pipeline"]["batch_size"]
    assert isinstance(size, int)
    stored = load_config(f"{config.output.path}/.synthgen/config.yaml")
    assert stored.pipeline.batch_size == size

    def probe(_):
        raise AssertionError("probed again")

    monkeypatch.setattr(Worker, "probe", probe)
    assert generate(config, "inline") == first
    assert generate(make_config(samples=12, pipeline={"batch_size": size}), "inline") == first
    with pytest.raises(OutputError, match=rf"pipeline\.batch_size: {size} → {size + 1}\)"):
        generate(make_config(samples=12, pipeline={"batch_size": size + 1}), "inline")
    assert digests(config) == before
