import subprocess
import sys

from cluster.preflight.probe import MIB, Gpu, parse_gpus, this_machine


def test_gpus_are_read_from_the_driver_s_table():
    table = "NVIDIA H200, 143771, 143050\nTesla T4, 15360, 4\n[N/A]\nGPU is lost, [N/A], [N/A]\n"
    assert parse_gpus(table) == (
        Gpu("NVIDIA H200", 143771 * MIB, 143050 * MIB),
        Gpu("Tesla T4", 15360 * MIB, 4 * MIB),
    )


def test_this_machine_says_what_torch_says_without_loading_it():
    import torch

    machine = this_machine()
    assert machine.versions["torch"] == torch.__version__
    assert machine.cuda == torch.version.cuda
    assert machine.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert machine.memory is not None
    assert machine.memory > 1 << 20
    script = (
        "import sys; from cluster.preflight import check_before_run; "
        "from cluster.preflight.probe import this_machine; this_machine(); "
        "print({'torch', 'ray'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
