"""Published and measured speeds of the diffusion pipelines, for estimates before a run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KnownRate:
    """A figure that somebody measured, of generating alone, with guidance.

    Attributes:
        images_per_second: on that hardware.
        steps: denoising steps.
        threads: CPU threads; 0 on a GPU.
        gpu: what the GPU's name ends in or holds, as a word; empty on a CPU.
        side: width and height [pixels].
        mini: whether the embedded weights generated.
        dtypes: number formats that the figure holds for.
        source: where it stands.
        bound: whether real runs are hardly faster: it was measured in batches.
    """

    images_per_second: float
    steps: int
    threads: int
    gpu: str
    side: int
    mini: bool
    dtypes: tuple[str, ...]
    source: str
    bound: bool = True

    def is_of(self, gpus: Sequence[str]) -> bool:
        """Return whether it was measured on such a machine: on one of these GPUs, or without."""
        if not self.gpu:
            return not gpus
        model = self.gpu.split()[-1]
        before = r"(?<!\d)" if model[0].isdigit() else r"(?<![A-Za-z0-9])"
        named = re.compile(rf"{before}{model}(?!\d)", re.IGNORECASE)
        return any(named.search(gpu) for gpu in gpus)


RATES = (
    KnownRate(
        1 / 0.284, 20, 2, "", 128, True, ("float32",),
        "benchmarks/RESULTS.md: mini size, 2 cores of an AMD EPYC, batches of 16",
    ),
    KnownRate(
        1 / 0.228, 20, 2, "", 128, True, ("bfloat16",),
        "benchmarks/RESULTS.md: mini size, 2 cores of an AMD EPYC with bfloat16, batches of 16",
    ),
    *(
        KnownRate(
            rate, 50, 0, gpu, 512, False, ("float16",),
            "diffusers' documentation of PyTorch 2.0: Stable Diffusion 1.5, batches of 16",
        )
        # Iterations a second of a batch of 16, "SD - txt2img, torch nightly - no compile", in
        # docs/source/en/optimization/torch2.0.md of huggingface/diffusers at 2c529b75; of a T4
        # the table holds seconds an iteration.
        for gpu, rate in {
            "T4": 16 / (2.30 * 50),
            "V100": 1.66 * 16 / 50,
            "RTX 3090": 1.69 * 16 / 50,
            "RTX 4090": 3.2 * 16 / 50,
            "A100": 3.6 * 16 / 50,
        }.items()
    ),
    KnownRate(
        1 / 1.44, 50, 0, "H100", 512, False, ("float16",),
        # README.md of github.com/alexeigor/sd-benchmarks: "PT2.0,fp16" on an H100 PCIe, 80 GB.
        "github.com/alexeigor/sd-benchmarks: Stable Diffusion 1.5 on an H100 PCIe, one image at a "
        "time; batches are faster", bound=False,
    ),
)  # fmt: skip
"""Figures, each with its source."""
