import pytest
import ray

from cluster.preflight import check_before_run, describe, joined, preflight
from cluster.preflight.nodes import _answers, this_node
from synthgen.errors import OutputError, WeightsError


@pytest.fixture(scope="module")
def local_ray():
    ray.init(address="local", num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


def test_without_a_cluster_this_machine_is_looked_at(make_config, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with joined(None) as cluster:
        assert cluster is False
    (node,) = this_node(make_config())
    assert (node.name, node.here) == ("this machine", True)
    assert node.workers >= 1


@pytest.mark.ray
def test_a_node_of_a_cluster_answers_by_a_task_that_is_bound_to_it(make_config, local_ray):
    config = make_config()
    with joined(None) as cluster:
        report = preflight(config, cluster)
    (node,) = report.nodes
    assert (node.workers, node.here, node.failure) == (2, True, "")
    assert "nothing is missing" in describe(report)
    here = ray.get_runtime_context().get_node_id()
    found, failure = _answers(config, [{"NodeID": here}], "", None, 60.0)[here]
    assert failure == ""
    assert found.machine.versions == node.probe.machine.versions
    assert found.weights == node.probe.weights


@pytest.mark.ray
def test_a_node_that_is_gone_gives_no_answer(make_config, local_ray):
    gone = "0" * 56
    found, failure = _answers(make_config(), [{"NodeID": gone}], "", None, 10.0)[gone]
    assert (found, failure) == (None, "TaskUnschedulableError")


def test_a_run_with_problems_does_not_begin(make_config, tmp_path, caplog):
    config = make_config(verify={"weights": str(tmp_path / "none.pt")})
    with pytest.raises(WeightsError) as caught:
        check_before_run(config, "inline")
    assert str(caught.value) == (
        f"AU network {tmp_path}/none.pt does not exist; it must be a file or a folder"
    )
    (tmp_path / "file").touch()
    output = config.output.model_copy(update={"path": str(tmp_path / "file" / "out")})
    with pytest.raises(OutputError) as caught:
        check_before_run(make_config().model_copy(update={"output": output}), "inline")
    assert str(caught.value) == f"{tmp_path}/file is a file; output.path must be a folder"


def test_a_measurement_tells_rate_acceptance_and_size(make_config):
    report = preflight(make_config(pipeline={"batch_size": 2}), False, measured=True)
    assert report.findings == []
    assert report.estimate.rate.source == "measured on CPU"
    assert report.estimate.rate.value > 0
    assert 5_000 < report.estimate.row.value < 50_000
