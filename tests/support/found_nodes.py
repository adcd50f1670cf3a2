"""What a preflight might find on a node with a GPU."""

from cluster.preflight.probe import Gpu, Machine, Output, Probe
from cluster.preflight.weights import Weights

GB = 10**9
VERSIONS = {"python": "3.11.2", "synthgen": "1.0", "torch": "2.13.0+cu128", "numpy": "2.4.0"}
MACHINE = Machine("a", (Gpu("NVIDIA A100", 16 * GB, 15 * GB),), 32 * GB, VERSIONS, "12.8")
GOOD = Probe(
    MACHINE,
    Weights(2 * GB, decoder_channels=256, sample_size=64, licences={"SD": "OpenRAIL"}),
    Output(GB),
)
