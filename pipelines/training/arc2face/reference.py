"""Training of the Reference Adapter: a LoRA of Arc2Face that looks at a picture.

Each example is painted beside another picture of the same drawn person, with another expression.
What the UNet sees of it is joined to the self-attention as the pipeline joins it; the LoRA learns
to use it.
"""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from jaxtyping import Float, Int
from PIL.Image import Image
from torch import Tensor, nn

from pipelines.arc2face.reference import (
    ReferenceAdapter,
    keep_features,
    reference_branch,
    write_reference_adapter,
)
from pipelines.arc2face.weights import (
    CARD,
    EXPRESSION_FILE,
    EXPRESSION_FOLDER,
    REFERENCE_FILE,
    locate_adapter,
)
from pipelines.diffusion.unet import attentions, self_attentions
from pipelines.fineface.adapter import LORA_TARGETS
from pipelines.procedural import Identity
from pipelines.training.arc2face.config import Differing, ReferenceTrainingConfig
from pipelines.training.arc2face.frozen import (
    flame_numbers,
    load_arc2face,
    sheet_numbers,
)
from pipelines.training.arc2face.people import (
    KeptPeople,
    PeopleLearner,
    any_faces,
)
from pipelines.training.data.augmentation import sheet_of, to_pixels
from pipelines.training.data.drawing import in_another_picture
from pipelines.training.data.examples import ProceduralExamples
from pipelines.training.diffusion.base import FrozenBase, sheet_images
from pipelines.training.diffusion.estimate import MeasurableRecipe
from pipelines.training.diffusion.latents import (
    LATENTS,
    LatentBatch,
    images_made_of,
    make_latents,
)
from pipelines.training.diffusion.loss import diffusion_loss, noised
from pipelines.training.files import write_whole
from pipelines.training.learner import seeded
from pipelines.training.provenance import write_card
from pipelines.training.recipe import run_recipe
from pipelines.training.settings import pick_training_device
from pipelines.weight_files import file_sha256
from samplers.flame.drawn import EXTRACTOR
from samplers.flame.expression import FLAME_WIDTH
from samplers.randomness import uniforms
from synthgen.action_units import ActionUnitSet

FOLDER = "references"
"""Folder of the references' latents, in that of the training."""

_DIFFERING = {
    "pose": ("yaw", "pitch", "roll", "gaze"),
    "light": ("light", "warmth", "light_strength"),
    "clothes": ("clothes", "clothes_colour", "pattern", "clothes_accent"),
    "background": (
        "background", "background_edge", "background_kind", "background_accent",
    ),
}  # fmt: skip
"""Key of `Differing` → the traits of the picture that it is made of."""


@dataclass(frozen=True, slots=True)
class References:
    """Pictures that examples are painted beside: the same people with other expressions.

    Attributes:
        plain: the examples.
        differs: what else of a picture may be another.
        seed: seed of the training.
    """

    plain: ProceduralExamples
    differs: Differing
    seed: int

    @property
    def count(self) -> None:
        """Number of pictures: there is no end."""
        return None

    @property
    def action_units(self) -> ActionUnitSet:
        """The AUs of a vector."""
        return self.plain.action_units

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Return all that the pictures are a function of."""
        return {**self.plain.fingerprint, "differs": self.differs.model_dump(mode="json")}

    def person(self, index: int) -> Identity:
        """Return the person of an example as the reference shows them."""
        person = self.plain.identity(index)
        other = in_another_picture(person, index + 1)
        draws = uniforms(self.seed, "references/differing", index, index + 1, len(_DIFFERING))[0]
        changed = {
            name: getattr(other, name)
            for draw, (kind, names) in zip(draws, _DIFFERING.items(), strict=True)
            if draw < getattr(self.differs, kind)
            for name in names
        }
        return replace(person, **changed)

    def image(self, index: int) -> Image:
        """Draw the reference of an example."""
        return self.plain.drawn(self.person(index), index + 1)

    def aus(self, index: int) -> Float[np.ndarray, " aus"]:
        """Return the AUs that a reference shows: those of the next example."""
        return self.plain.aus(index + 1)

    def caption(self, index: int, telling: int = 0) -> str:
        """Return nothing: captions are not read."""
        return ""


class PairBatch(NamedTuple):
    """Examples as Arc2Face with both adapters sees them.

    Attributes:
        latents: scaled, float32 [B, c, h, w].
        faces: L2-normalised embeddings, float32 [B, 512]; zeros where no face was found.
        numbers: FLAME numbers of the expressions, float32 [B, 55].
        references: scaled latents of the references, float32 [B, c, h, w].
    """

    latents: Float[Tensor, "B c h w"]
    faces: Float[Tensor, "B 512"]
    numbers: Float[Tensor, "B 55"]
    references: Float[Tensor, "B c h w"]


class ReferenceLora(nn.Module):
    """A LoRA of every attention layer of a UNet, beside it; it does nothing yet.

    A is gaussian of standard deviation 1 / rank, B is zero.

    Args:
        unet: the UNet that it is for.
        rank: its rank.
        seed: seed of its weights.
    """

    def __init__(self, unet: nn.Module, rank: int, seed: int) -> None:
        super().__init__()
        self._paths = [
            f"{path}.{target}" for path, _ in attentions(unet) for target in LORA_TARGETS
        ]
        self.downs, self.ups = nn.ParameterList(), nn.ParameterList()
        with seeded(seed):
            for path in self._paths:
                layer: Any = unet.get_submodule(path)
                self.downs.append(torch.randn(rank, layer.in_features) / rank)
                self.ups.append(torch.zeros(layer.out_features, rank))

    def adapter(self) -> ReferenceAdapter:
        """Return it as the pipeline knows it; gradients reach its tensors."""
        pairs = zip(self.downs, self.ups, strict=True)
        return ReferenceAdapter(dict(zip(self._paths, pairs, strict=True)))


class ReferenceLearner(PeopleLearner):
    """Learns the LoRA of a reference adapter; Arc2Face and the expressions stay what they are.

    Args:
        config: the training run.
        base: Arc2Face, on the device; its UNet may have an expression adapter.
        device: torch device.
    """

    def __init__(
        self, config: ReferenceTrainingConfig, base: FrozenBase, device: torch.device
    ) -> None:
        network = ReferenceLora(base.unet, config.rank, config.seed)
        super().__init__(config, base, network, device)
        self._config, self._lora = config, network

    def losses(self, batch: PairBatch) -> dict[str, Tensor]:
        """Return the diffusion loss of a batch.

        Some examples are told nobody, no expression and no reference; never all of a batch.
        """
        config, scheduler = self._config, self._base.scheduler
        seen = noised(batch.latents, scheduler, config.noise)
        (hidden,) = self.drawn_apart(batch.faces, [config.drop_caption])
        hidden[-1] &= ~hidden.all()
        order = (~hidden).int().argsort(stable=True)  # as with guidance, those stand first
        joined = order[int(hidden.sum()) :]
        text = self.frozen_texts(batch.faces, ~hidden)
        numbers = batch.numbers * ~hidden[:, None]
        timesteps = seen.timesteps[order]
        predicted = self.predict(
            seen.latents[order], timesteps, text[order], numbers[order], batch.references[joined]
        )
        target = seen.target[order]
        return {"loss": diffusion_loss(predicted, target, timesteps, scheduler, config.noise)}

    def predict(
        self,
        noisy: Float[Tensor, "B c h w"],
        timesteps: Int[Tensor, " B"],
        text: Float[Tensor, "B tokens width"],
        numbers: Float[Tensor, "B 55"],
        references: Float[Tensor, "joined c h w"],
    ) -> Float[Tensor, "B c h w"]:
        """Return the prediction of Arc2Face with the LoRA that learns.

        Args:
            noisy: noisy latents; those that look at a reference stand last.
            timesteps: their timesteps.
            text: what the text encoder made of people.
            numbers: FLAME numbers; zeros for no expression.
            references: latents of the references.
        """
        unet, looking = self._base.unet, len(references)
        dtype = unet.conv_in.weight.dtype
        told = numbers[:, None].to(dtype) if unet.encoder_hid_proj is not None else None
        with self.autocast():
            kept = keep_features(
                unet,
                references.to(dtype),
                text[-looking:],
                None if told is None else [torch.zeros_like(told[-looking:])],
            )
            sources = list(range(looking))
            with reference_branch(unet, kept, sources, self._lora.adapter(), scale=1.0):
                return unet(
                    noisy.to(dtype),
                    timesteps,
                    text,
                    added_cond_kwargs={} if told is None else {"image_embeds": [told]},
                ).sample.float()


class ReferenceRecipe(MeasurableRecipe[ReferenceTrainingConfig]):
    """The training of a reference adapter beside Arc2Face; files count, not their place.

    What it makes is what `Arc2FacePipeline.load_reference_adapter` reads.
    """

    name = "reference"
    settings = ReferenceTrainingConfig
    makes = "reference"
    what = "Arc2Face's Reference Adapter: a LoRA of all attention that looks at a picture"
    free = (
        "base", "revision", "arc2face", "arc2face_revision", "expression", "expression_revision",
        "embedder", "latents", "sheet", "export",
    )  # fmt: skip

    def __init__(self, config: ReferenceTrainingConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        device, dtype = pick_training_device(config.device), getattr(torch, config.dtype)
        self._base = base = load_arc2face(config, device, dtype)
        self._expression = None if config.expression is None else _find(config)
        examples = ProceduralExamples(config.data, config.seed)
        self._people = people = KeptPeople.open(config, folder, base, examples, device)
        self.facts = {**people.facts, "numbers": EXTRACTOR}
        if self._expression is not None:
            self.facts["expression_sha256"] = file_sha256(self._expression)
            pipeline = people.pipeline(base, base.unet, base.text_encoder)
            pipeline.load_expression_adapter(self._expression.parent)
            base.unet.requires_grad_(False)
            if config.attention == "explicit":  # loading has set all processors anew
                for _, layer in self_attentions(base.unet):
                    layer.set_processor(AttnProcessor())
        self._numbers = flame_numbers(examples, people.store.count)
        references = References(examples, config.differs, config.seed)
        made_of = {
            "vae_encoder": self.facts["vae_encoder_sha256"],
            **images_made_of(config, references),
            "count": people.store.count,
        }
        make_latents(folder / FOLDER, references, people.store.count, people.vae, made_of)
        self._references = np.load(folder / FOLDER / LATENTS, mmap_mode="r")
        self.learner = ReferenceLearner(config, base, device)

    @classmethod
    def trial(
        cls,
        config: ReferenceTrainingConfig,
        base: FrozenBase,
        device: torch.device,
        aus: ActionUnitSet,
    ) -> ReferenceLearner:
        """Make a learner beside the base, which is as large."""
        return ReferenceLearner(config, base, device)

    @classmethod
    def trial_batch(cls, batch: LatentBatch) -> PairBatch:
        """Return the batch with itself as references, and people of no embedding in particular."""
        rows = len(batch.latents)
        numbers = torch.zeros(rows, FLAME_WIDTH)
        return PairBatch(batch.latents, any_faces(rows), numbers, batch.latents)

    @classmethod
    def uncounted(cls, config: ReferenceTrainingConfig) -> list[str]:
        """Return lines about the references' latents and the expressions."""
        adapter = [] if config.expression is None else ["the Expression Adapter is not counted"]
        return ["as many latents of references are made once more", *adapter]

    def batches(self, first: int, last: int) -> Iterator[PairBatch]:
        """Read the latents, the embeddings, the expressions and the references of each step."""
        people, config = self._people, self.config
        scale = float(people.vae.config["scaling_factor"])
        for latents, _, rows in people.store.labelled(first, last, config.batch_size, config.seed):
            places = rows.numpy()
            shown = np.stack([self._references[place] for place in places])
            yield PairBatch(
                latents,
                torch.from_numpy(people.embeddings[places]),
                torch.from_numpy(self._numbers[places]),
                scale * torch.from_numpy(shown).float(),
            )

    def sheet(self) -> Image:
        """Paint held-out people below their portraits and references, with each expression."""
        config, sheet = self.config, self.config.sheet
        portraits, faces = self._people.held_out(config)
        held_out = ProceduralExamples(config.data, config.seed, held_out=True)
        references = References(held_out, config.differs, config.seed)
        pictures = [references.image(row) for row in range(sheet.people)]
        pipeline = self._base.pipeline()
        if self._expression is not None:
            pipeline.load_expression_adapter(self._expression.parent)
        with tempfile.TemporaryDirectory() as folder:
            self._write(Path(folder) / REFERENCE_FILE, torch.float32)
            pipeline.load_reference_adapter(folder)
        pipeline.to(self.learner.device)
        beside: Any = partial(pipeline, reference_image=pictures)
        asked = [(one,) for one in sheet_numbers(sheet)] if self._expression else [()]
        painted = [sheet_images(beside, sheet, faces, *one) for one in asked]
        return sheet_of([portraits, [to_pixels(picture) for picture in pictures], *painted])

    def export(self, about: dict[str, Any]) -> None:
        """Write the LoRA as it is published, and a card."""
        made = self.folder / self.makes
        made.mkdir(exist_ok=True)
        path = made / REFERENCE_FILE
        with write_whole(path) as partial_file:
            self._write(partial_file, getattr(torch, self.config.export.dtype))
        write_card(made / CARD, {**about, "sha256": {path.name: file_sha256(path)}})

    def _write(self, path: Path, dtype: torch.dtype) -> None:
        write_reference_adapter(path, self.learner.average.adapter(), dtype)


def _find(config: ReferenceTrainingConfig) -> Path:
    return locate_adapter(
        config.expression or "",
        EXPRESSION_FILE,
        below=EXPRESSION_FOLDER,
        revision=config.expression_revision,
        setting="expression",
    )


def train_reference(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a reference adapter beside Arc2Face and export it, as `run_recipe` says."""
    return run_recipe(ReferenceRecipe, config_path, out, stop_at, overrides)
