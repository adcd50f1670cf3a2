"""`synthgen train clip`: train the text encoder that conditions, and its image encoder."""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import CLIPTokenizer

from pipelines.fineface.prompts import load_tokenizer
from pipelines.training.clip.config import CLIPConfig
from pipelines.training.clip.evaluation import measure_pairs
from pipelines.training.clip.examples import ClipExamples
from pipelines.training.clip.export import export_clip
from pipelines.training.clip.learner import ClipLearner
from pipelines.training.clip.tokenizer import train_tokenizer
from pipelines.training.data.examples import Examples, examples_of, warn_of_cut_captions
from pipelines.training.data.loader import batch_places, load_batches
from pipelines.training.diffusion.part_names import TOKENIZER
from pipelines.training.loop.about import about_training
from pipelines.training.loop.device import pick_training_device
from pipelines.training.loop.sameness import what_counts
from pipelines.training.loop.session import CHECKPOINT, Session, training_folder
from pipelines.training.loop.whole_files import writing
from synthgen.config.loading import load_section

_WHAT = "CLIP pair: a text encoder that conditions the UNet, and the image encoder beside it"


def train_clip(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a CLIP pair, measure it on held-out pairs, and export it; goes on by itself.

    Args:
        config_path: YAML file, as `CLIPConfig` describes it.
        out: folder for the checkpoint, the curves and the encoders; made if missing.
        stop_at: end after this step with a checkpoint and without an export; None: to the end.
        overrides: `key=value`, as for `load_section`.

    Returns:
        The folder, with `text_encoder`, `tokenizer` and `image_encoder` when the training has
        reached its end.

    Raises:
        SynthgenError: if the configuration, the data or the folder do not serve, or the loss is
            not finite.
    """
    config = load_section(config_path, CLIPConfig, overrides)
    folder = training_folder(out)
    torch.set_num_threads(config.threads)
    device = pick_training_device(config.device)
    examples = examples_of(config.data, config.seed)
    tokenizer = _tokenizer(config, examples, folder)
    warn_of_cut_captions(examples, tokenizer)
    learner = ClipLearner(config, tokenizer, device)
    pairs = ClipExamples(config, tokenizer)
    session = Session(
        "clip",
        learner,
        folder,
        what_counts(config, **examples.fingerprint),
        lambda first, last: load_batches(
            pairs, batch_places(config.batch_size, first, last), config.workers
        ),
    )
    session.resume()
    if session.train(stop_at):
        about = about_training(
            "clip", _WHAT, config, config.data, folder, config_path, learner.step,
            examples.fingerprint,
        )  # fmt: skip
        export_clip(
            learner.average, tokenizer, folder, measure_pairs(learner, config, tokenizer), about
        )
    return folder


def _tokenizer(config: CLIPConfig, examples: Examples, folder: Path) -> CLIPTokenizer:
    """Learn the tokenizer; a training that goes on keeps the one that it has."""
    path = folder / TOKENIZER
    if path.exists() and (folder / CHECKPOINT).exists():
        return load_tokenizer(path)
    count, there = config.text.captions, examples.count
    captions = (examples.caption(i) for i in range(count if there is None else min(count, there)))
    tokenizer = train_tokenizer(captions, config.text.vocabulary, config.text.max_length)
    with writing(path):
        tokenizer.save_pretrained(path)
    return tokenizer
