"""From the configuration to a loaded image source and a loaded verifier."""

from pipelines.interfaces import ImageSource, Verifier
from synthgen.config import PipelineConfig, ProceduralConfig, RunConfig, VerifyConfig


def pick_device() -> str:
    """Return `cuda` where this process sees a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def fix_arithmetic(threads: int) -> None:
    """Make this process compute the same bits each time.

    CPU kernels change bits with the number of threads. On a GPU, cuDNN may pick other algorithms
    from run to run, and its default TF32 moves measurements by about 1e-3.
    """
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False


def load_source(config: PipelineConfig, device: str) -> ImageSource:
    """Load what turns specs into images.

    Raises:
        WeightsError: if weights are missing or of the wrong format.
    """
    if isinstance(config, ProceduralConfig):
        from pipelines.procedural.source import ProceduralSource

        return ProceduralSource(config)
    from pipelines.fineface.source import FineFaceSource

    return FineFaceSource(config, device)


def load_verifier(config: VerifyConfig, device: str) -> Verifier:
    """Load what measures images.

    Raises:
        WeightsError: if weights are missing or of the wrong format.
        MissingDependencyError: if the aligner's package is not installed.
    """
    from pipelines.libreface import LibreFaceVerifier

    return LibreFaceVerifier.from_pretrained(config.weights, aligner=config.aligner, device=device)


def check_pipeline(config: RunConfig) -> None:
    """Refuse what the pipeline cannot show, before anything is loaded.

    Raises:
        ConfigError: if an identity slot has a value that the pipeline does not know.
    """
    if isinstance(config.pipeline, ProceduralConfig):
        from pipelines.procedural.source import ProceduralSource

        ProceduralSource(config.pipeline).check_values(config.identities.weighted_slots())
