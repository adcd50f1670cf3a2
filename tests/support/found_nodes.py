"""What a preflight might find on a node with a GPU."""

from cluster.preflight.probe import Gpu, Machine, Output, Probe
from synthgen.config.base import Weights

GB = 10**9
VERSIONS = {"python": "3.11.2", "synthgen": "1.0", "torch": "2.13.0+cu128", "numpy": "2.4.0"}
MACHINE = Machine("a", (Gpu("NVIDIA A100", 16 * GB, 15 * GB),), 32 * GB, VERSIONS, "12.8")
GOOD = Probe(
    MACHINE,
    Weights(
        bytes=2 * GB,
        licences={"SD": "OpenRAIL"},
        facts={"decoder_channels": 256, "sample_size": 64},
    ),
    Output(GB),
)
