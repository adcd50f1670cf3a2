from pathlib import Path

from cluster.resolve import absolute_paths


def placed(make_config, path):
    config = make_config()
    output = config.output.model_copy(update={"path": path})
    return absolute_paths(config.model_copy(update={"output": output})).output.path


def test_an_actor_writes_where_the_driver_does(make_config, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert placed(make_config, "~/out") == "/home/me/out"
    assert placed(make_config, "out/~") == f"{Path.cwd()}/out/~"
    for path in ["/data/out", "s3://bucket/~/out", "file:///data/out"]:
        assert placed(make_config, path) == path
