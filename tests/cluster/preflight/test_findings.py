from dataclasses import replace

import pytest
from found_nodes import GB, GOOD, MACHINE, VERSIONS

from cluster.preflight.findings import (
    find_in_nodes,
    find_no_room,
    find_room_for,
    once,
    problem,
    raise_problems,
    warning,
)
from cluster.preflight.nodes import Node
from cluster.preflight.probe import Gpu, Output, Probe
from pipelines.fineface.section import FineFaceConfig
from pipelines.procedural.section import ProceduralConfig
from synthgen.config.base import Weights
from synthgen.errors import ConfigError, OutputError, WeightsError


@pytest.fixture
def config(make_config):
    pipeline = FineFaceConfig(name="fineface", weights="mini", batch_size=8, dtype="float16")
    return make_config().model_copy(update={"pipeline": pipeline})


def texts(config, *nodes):
    found = find_in_nodes(config, nodes, GOOD)
    return [(finding.severity, finding.text) for finding in found]


def test_nothing_is_found_on_a_node_that_has_everything(config):
    assert texts(config, Node("b", 1, GOOD)) == []


def test_versions_that_decide_bytes_are_a_problem_and_build_tags_are_not(config):
    versions = {**VERSIONS, "numpy": "2.3.0", "torch": "2.13.0+cpu", "python": "3.11.9"}
    other = replace(GOOD, machine=replace(MACHINE, versions=versions))
    assert texts(config, Node("b", 1, other), Node("head", 0, other)) == [
        ("warning", "python is 3.11.9 on b and 3.11.2 on the driver"),
        (
            "problem",
            "numpy is 2.3.0 on b and 2.4.0 on the driver; install the same version on both, or "
            "the data would differ",
        ),
    ]


def test_missing_weights_and_a_refused_output_name_the_node(config):
    lacking = Probe(MACHINE, Weights(problems=("no weights",)), Output(GB, "cannot write to /x"))
    found = find_in_nodes(config, [Node("b", 1, lacking)], GOOD)
    assert [(finding.text, finding.kind) for finding in found] == [
        ("b: no weights", WeightsError),
        ("b: cannot write to /x", OutputError),
    ]


def test_a_folder_of_each_node_s_own_is_a_problem(config):
    apart = replace(GOOD, output=Output(GB, shared=False))
    assert texts(config, Node("b", 1, apart)) == [
        (
            "problem",
            f"output.path {config.output.path} is a folder of each node's own: b does not see what "
            "the driver wrote there; give a folder that all nodes share, or a URL such as "
            "s3://bucket/name",
        )
    ]


def test_memory_is_compared_with_the_gpu(config):
    def found(total, free, weights=2 * GB):
        machine = replace(MACHINE, gpus=(Gpu("NVIDIA A100", total, free),))
        probe = replace(GOOD, machine=machine, weights=replace(GOOD.weights, bytes=weights))
        return texts(config, Node("b", 1, probe))

    need = "3.1 GB"
    assert found(16 * GB, GB) == [
        (
            "warning",
            f"b: a worker needs about {need} and 1.0 GB of the NVIDIA A100 are free: another "
            "process uses it",
        )
    ]
    assert found(3 * GB, 3 * GB) == [
        (
            "warning",
            f"b: a worker needs about {need} and has 3.0 GB of the NVIDIA A100; set "
            "pipeline.batch_size lower, or pipeline.dtype to float16 or bfloat16",
        )
    ]
    assert found(3 * GB, 3 * GB, weights=4 * GB) == [
        (
            "problem",
            "b: the weights take 4.0 GB and a worker has 3.0 GB of the NVIDIA A100; set "
            "pipeline.dtype to float16 or bfloat16, or cluster.gpus_per_actor higher",
        )
    ]


def large(config, size=1024, batch=4096):
    pipeline = ProceduralConfig(name="procedural", size=size, batch_size=batch)
    return config.model_copy(update={"pipeline": pipeline})


TOO_LARGE = (
    "a batch of 4096 images of 1024×1024 pixels takes at least 28.4 GB and there are 16.0 GB of "
    "memory; set pipeline.batch_size lower"
)


def test_a_batch_that_no_node_can_hold_is_a_problem(config):
    small = replace(GOOD, machine=replace(MACHINE, gpus=(), cuda=None, total=16 * GB))
    roomy = replace(GOOD, machine=replace(MACHINE, gpus=(), cuda=None, total=64 * GB))
    alone = Node("this machine", 1, small, here=True)
    assert texts(large(config), alone) == [("problem", TOO_LARGE)]
    assert texts(large(config), Node("b", 1, small), Node("c", 1, small)) == [
        ("problem", f"b: {TOO_LARGE}"),
        ("problem", f"c: {TOO_LARGE}"),
    ]
    assert texts(large(config), Node("b", 1, small), Node("c", 1, roomy)) == [
        ("warning", f"b: {TOO_LARGE}")
    ]
    assert texts(large(config, batch=512), alone) == []


def test_a_batch_that_the_gpu_cannot_hold_is_a_problem(config):
    pipeline = config.pipeline.model_copy(update={"batch_size": 512})
    found = texts(config.model_copy(update={"pipeline": pipeline}), Node("b", 1, GOOD))
    assert found == [
        (
            "problem",
            "b: a batch of 512 images of 128×128 pixels takes at least 19.8 GB and there are 16.0 "
            "GB of the NVIDIA A100; set pipeline.batch_size lower",
        )
    ]


def test_more_threads_or_gpus_than_this_machine_has_are_a_problem(config):
    update = {
        "pipeline": config.pipeline.model_copy(update={"threads": 3}),
        "cluster": config.cluster.model_copy(update={"gpus_per_actor": 2.0}),
    }
    asked = config.model_copy(update=update)
    threads = "pipeline.threads is 3 and this machine has 2 cores; it must be at most 2"
    gpus = (
        "cluster.gpus_per_actor is 2 and this machine has 1 GPU that torch can use; set it to "
        "'auto'"
    )
    node = Node("this machine", 0, GOOD, here=True, cores=2)
    assert texts(asked, node) == [("problem", threads), ("problem", gpus)]
    assert [finding.text for finding in find_no_room(asked, 2, 1)] == [threads, gpus]
    assert find_no_room(asked, 3, 2) == []


def test_a_torch_for_cpus_beside_a_gpu_is_a_warning(config):
    machine = replace(MACHINE, cuda=None)
    assert texts(config, Node("b", 1, replace(GOOD, machine=machine))) == [
        (
            "warning",
            "b: there is a GPU (NVIDIA A100) and torch 2.13.0+cu128 is built for CPUs alone; "
            "install a torch for CUDA",
        )
    ]


def test_a_node_that_does_not_answer_and_a_cluster_without_room(config):
    assert texts(config, Node("b", 0, None, "no answer in 60 s")) == [
        ("problem", "node b cannot be checked: no answer in 60 s"),
        (
            "warning",
            "no node has room for a worker (1 CPU, cluster.gpus_per_actor auto): a run would wait "
            "until one joins",
        ),
    ]


def test_room_for_the_data(config):
    nodes = [Node("b", 1, GOOD)]
    assert find_room_for(config, nodes, GB - 1) == []
    assert find_room_for(config, nodes, None) == []
    assert [finding.text for finding in find_room_for(config, nodes, 3 * GB)] == [
        f"{config.output.path} has room for 1.0 GB and the data may take 3.0 GB"
    ]


def test_problems_become_the_error_that_they_are():
    raise_problems([warning("a")])
    with pytest.raises(WeightsError, match=r"^x$"):
        raise_problems(once([problem("x", WeightsError), problem("x", WeightsError)]))
    with pytest.raises(ConfigError, match=r"^x; y$"):
        raise_problems([problem("x", WeightsError), problem("y", OutputError)])
