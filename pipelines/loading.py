"""From the configuration to a loaded image source and verifier, and their weights."""

from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.interfaces import ImageSource, Verifier
from samplers.spec import SampleSpec
from synthgen.config import (
    FaceIdConfig,
    FaceIdIdentitiesConfig,
    FineFaceConfig,
    PipelineConfig,
    ProceduralConfig,
    RunConfig,
    VerifyConfig,
)
from synthgen.config.verify import IdentityCheckConfig
from synthgen.errors import ConfigError, WeightsError

if TYPE_CHECKING:
    from pipelines.fineface.weights import FineFaceFolders


def pick_device() -> str:
    """Return `cuda` where this process sees a GPU, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def hardware_kind(device: str) -> str:
    """Return the kind of a torch device, on which bits depend: `CPU`, or a GPU's product name."""
    if device == "cpu":
        return "CPU"
    import torch

    return torch.cuda.get_device_name(device)


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
    if isinstance(config, FaceIdConfig):
        from pipelines.fineface.source import FaceIdSource

        return FaceIdSource(config, device)
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
        PromptError: as `check_prompts`.
        ConfigError: if an identity slot has a value that the pipeline does not know, or people are
            given to a pipeline that shows none, or none to one that shows people.
    """
    _check_people(config)
    check_prompts(config)
    if isinstance(config.pipeline, ProceduralConfig):
        from pipelines.procedural.source import ProceduralSource

        ProceduralSource(config.pipeline).check_values(config.identities.weighted_slots())


def doubts(config: RunConfig) -> list[str]:
    """Return a sentence for each setting with which rows name what images do not show."""
    pipeline, found = config.pipeline, []
    negative = config.identities.negative_prompt
    if isinstance(pipeline, ProceduralConfig):
        if negative:
            found.append("identities.negative_prompt has no effect on drawn portraits")
    else:
        found += _diffusion_doubts(pipeline, negative)
    if getattr(config.expressions, "allow_out_of_range", False):
        found.append(
            "expressions.allow_out_of_range: what is asked for outside [0, 5] is clipped before "
            "the policy compares it; rows name what was asked for"
        )
    return found


def check_prompts(config: RunConfig) -> None:
    """Refuse a run some prompt of which would be cut, where the tokenizer is on this machine.

    Where it is not, the worker that fetches it checks the prompts: see `prepare_source`.

    Raises:
        PromptError: if a text encoder would not see the end of a prompt.
        WeightsError: if the tokenizer cannot be read.
    """
    pipeline = config.pipeline
    if not isinstance(pipeline, FineFaceConfig | FaceIdConfig):
        return
    from pipelines.fineface.weights import locate

    try:
        folders = locate(pipeline.weights, fetch=False)
    except WeightsError:
        return
    from pipelines.fineface.prompts import check_run_prompts, load_tokenizer

    tokenizer = load_tokenizer(folders.base / "tokenizer")
    check_run_prompts(tokenizer, config.identities, pipeline.long_prompts)


def prepare_source(source: ImageSource, config: RunConfig) -> None:
    """Let a loaded source check the prompts of its run and fit itself to them.

    Raises:
        PromptError: if a text encoder would not see the end of a prompt.
    """
    if isinstance(config.pipeline, FineFaceConfig | FaceIdConfig):
        from pipelines.fineface.source import DiffusionSource

        if isinstance(source, DiffusionSource):
            source.check_prompts(config.identities)


def check_spec(source: ImageSource, spec: SampleSpec) -> None:
    """Refuse, before work begins, people whom a loaded source cannot show.

    Args:
        source: what turns specs into images.
        spec: any spec of the run; all are of one store.

    Raises:
        FaceEmbeddingError: if its embeddings are of another recogniser than the source expects.
    """
    if source.name == "fineface-faceid":
        from pipelines.fineface.source import FaceIdSource

        if isinstance(source, FaceIdSource):
            source.check(spec)


def _diffusion_doubts(pipeline: FineFaceConfig | FaceIdConfig, negative: str) -> list[str]:
    found = []
    if pipeline.au_scale <= 0:
        found.append(
            f"pipeline.au_scale is {pipeline.au_scale:g}: images do not follow the AUs that their "
            "rows name"
        )
    if isinstance(pipeline, FaceIdConfig) and pipeline.ip_scale <= 0:
        found.append(
            f"pipeline.ip_scale is {pipeline.ip_scale:g}: images do not show the people that their "
            "rows name"
        )
    if pipeline.guidance_scale <= 1 and negative:
        found.append(
            f"pipeline.guidance_scale is {pipeline.guidance_scale:g}, which means no guidance: "
            "identities.negative_prompt has no effect"
        )
    return found


def _check_people(config: RunConfig) -> None:
    name, given = config.pipeline.name, isinstance(config.identities, FaceIdIdentitiesConfig)
    if given and not isinstance(config.pipeline, FaceIdConfig):
        raise ConfigError(
            f"identities.source is 'faceid', but the pipeline {name!r} cannot show people by their "
            "embeddings; set pipeline.name to 'fineface-faceid', or identities.source to 'prompts'"
        )
    if not given and isinstance(config.pipeline, FaceIdConfig):
        raise ConfigError(
            f"the pipeline {name!r} shows people by their embeddings, but identities.source is "
            f"{config.identities.source!r}; set it to 'faceid', or pipeline.name to 'fineface'"
        )


def fetch_weights(config: RunConfig) -> list[Path]:
    """Fetch the published weights of a configuration; what is here already is only checked.

    Returns:
        The folders and files that hold them; none for weights that are embedded in the package,
        which are only looked for.

    Raises:
        WeightsError: if something is missing and cannot be fetched, or does not fit.
        MissingDependencyError: if an optional package that fetches is not installed.
    """
    return [
        *_pipeline_weights(config),
        *_verifier_weights(config.verify.weights),
        *_embedder_weights(config.verify.identity),
    ]


def pins(config: RunConfig) -> dict[str, str]:
    """Return key → commit of the weights that lie in the Hub's cache and are not pinned to it."""
    from pipelines.fineface.weights import locate, locate_faceid
    from pipelines.hub import commit_of

    if isinstance(config.pipeline, FaceIdConfig):
        files = locate_faceid(config.pipeline.weights, fetch=False)
        folders, adapter = files.folders, files.face_adapter
    elif isinstance(config.pipeline, FineFaceConfig):
        folders, adapter = locate(config.pipeline.weights, fetch=False), None
    else:
        return {}
    found = {
        "revision": folders.base,
        "vae_revision": folders.vae,
        "fineface_revision": folders.fineface,
        "ip_adapter_revision": adapter,
    }
    commits = {key: commit_of(path) for key, path in found.items() if path is not None}
    return {
        f"pipeline.weights.{key}": commit
        for key, commit in commits.items()
        if commit is not None and getattr(config.pipeline.weights, key, None) != commit
    }


def _pipeline_weights(config: RunConfig) -> list[Path]:
    pipeline = config.pipeline
    if isinstance(pipeline, FaceIdConfig):
        from pipelines.fineface.weights import locate_faceid

        files = locate_faceid(pipeline.weights)
        return [*_not_embedded(files.folders), *_unless_embedded(files.face_adapter)]
    if isinstance(pipeline, FineFaceConfig):
        from pipelines.fineface.weights import locate

        return _not_embedded(locate(pipeline.weights))
    return []


def _not_embedded(folders: "FineFaceFolders") -> list[Path]:
    found = (folders.base, folders.fineface, folders.vae)
    return [part for path in found if path is not None for part in _unless_embedded(path)]


def _unless_embedded(path: Path) -> list[Path]:
    from pipelines.fineface.weights import MINI_FOLDER

    return [] if MINI_FOLDER in path.parents else [path]


def _verifier_weights(weights: str) -> list[Path]:
    from pipelines.libreface.network import fetch_libreface
    from pipelines.libreface.weights import find_weight_file

    if weights == "mini":
        return []
    return [fetch_libreface() if weights == "libreface" else find_weight_file(weights)]


def _embedder_weights(check: IdentityCheckConfig | None) -> list[Path]:
    if check is None:
        return []
    from pipelines.faceid.verifier import load_embedder

    return [path for file in load_embedder(check.embedder).files for path in _unless_embedded(file)]
