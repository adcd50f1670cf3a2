"""Training of the small VAE, which turns images to latents and back."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from jaxtyping import Float
from PIL.Image import Image
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import Dataset

from pipelines.evaluation.statistics import pearson
from pipelines.libreface import LibreFaceVerifier
from pipelines.libreface.network import IMAGENET_MEAN, IMAGENET_STD, load_network, resized_side
from pipelines.libreface.weights import MINI_FILE
from pipelines.training.data.augmentation import sheet_of, to_image, to_pixels
from pipelines.training.data.config import DataConfig
from pipelines.training.data.examples import Examples, examples_of, first_rows
from pipelines.training.data.loader import Order, load_batches
from pipelines.training.diffusion.base import find_part, load_vae
from pipelines.training.diffusion.config import MODEL_WEIGHTS
from pipelines.training.learner import Learner, seeded
from pipelines.training.provenance import CARD, write_card
from pipelines.training.recipe import Recipe, run_recipe
from pipelines.training.settings import Cycle, TrainingSettings, cycle_at, pick_training_device
from pipelines.weight_files import file_sha256
from samplers.randomness import uniforms
from synthgen.action_units import AUS
from synthgen.config.base import Section
from synthgen.errors import ConfigError


class VAELoss(Section):
    """Weights of the parts of the loss."""

    absolute: float = Field(default=1.0, ge=0, description="Mean absolute error [of -1 to 1].")
    squared: float = Field(
        default=2.0, ge=0, description="Mean squared error: it sees wrong colours of large areas."
    )
    edges: float = Field(
        default=1.0,
        ge=0,
        description="Mean absolute error of the differences of neighbouring pixels, at full and "
        "at half size: it sees thin lines.",
    )
    features: float = Field(
        default=0.0,
        ge=0,
        description="Mean absolute error of the features of the embedded AU network; whole images "
        "of 128 pixels alone.",
    )
    divergence: float = Field(
        default=1e-4, ge=0, description="Kullback–Leibler divergence, mean over latents."
    )


class VAECycle(Cycle):
    """Steps of a VAE."""

    crop: int | None = Field(
        default=None,
        ge=16,
        multiple_of=8,
        description="Side of the square that is cut from each image, most often near its middle; "
        "null: whole images.",
    )
    crops: int = Field(default=1, ge=1, le=64, description="Squares cut from one image.")
    freeze_encoder: bool = Field(
        default=False, description="Learn the decoder alone; latents stay what they are."
    )
    latent_noise: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Noise on the latents that are decoded, up to this many of their standard "
        "deviations: what a UNet generates is not exact either.",
    )
    loss: VAELoss = Field(default=VAELoss(), description="What is learned.")


class VAEModel(Section):
    """Size of an `AutoencoderKL`."""

    block_out_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(16, 32, 64, 128),
        min_length=1,
        description="Channels from the finest level to the coarsest; each further level halves.",
    )
    layers_per_block: int = Field(default=1, ge=1, le=8, description="Residual layers a level.")
    latent_channels: int = Field(default=4, ge=1, le=64, description="Channels of the latents.")
    norm_num_groups: int = Field(
        default=4,
        ge=1,
        description="Groups of the group norms; with one channel a group, colours fade.",
    )

    @model_validator(mode="after")
    def _whole_groups(self) -> "VAEModel":
        for channels in self.block_out_channels:
            if channels % self.norm_num_groups:
                raise ValueError(
                    f"{channels} channels are no multiple of norm_num_groups {self.norm_num_groups}"
                )
        return self


class VAEConfig(TrainingSettings):
    """A training run of the VAE; the weights are a function of it."""

    cycles: tuple[VAECycle, ...] = Field(
        min_length=1,
        description="The steps; a finished training goes on when a cycle is added at the end.",
    )
    data: DataConfig = Field(description="What is learned from.")
    model: VAEModel = Field(default=VAEModel(), description="Size of the network.")
    init: str | None = Field(
        default=None,
        exclude_if=lambda init: init is None,
        description="VAE to begin from: folder, or mini; of the same size, but that it may have "
        "fewer latent channels: those that are added begin at zero. null: begin from nothing.",
    )
    held_out: int = Field(
        default=200, ge=8, description="Held-out images that the result is measured on."
    )

    @model_validator(mode="after")
    def _fitting(self) -> "VAEConfig":
        factor = 2 ** (len(self.model.block_out_channels) - 1)
        if self.data.size % factor:
            raise ValueError(f"data.size {self.data.size} must be a multiple of {factor}")
        for cycle in self.cycles:
            if cycle.crop is None:
                continue
            if cycle.crop > self.data.size or cycle.crop % factor:
                raise ValueError(
                    f"crop {cycle.crop} must be a multiple of {factor} and at most data.size "
                    f"{self.data.size}"
                )
            if self.batch_size % cycle.crops:
                raise ValueError(
                    f"batch_size {self.batch_size} must be a multiple of crops {cycle.crops}"
                )
        return self


class Place(NamedTuple):
    """An image of a training.

    Attributes:
        step: step that learns from it.
        number: images that were learned from before.
    """

    step: int
    number: int


class VAEImages(Dataset[Tensor]):
    """Images by their places, or the squares that the cycle cuts out of one."""

    def __init__(self, config: VAEConfig) -> None:
        self._config = config
        self._examples = examples_of(config.data, config.seed)
        self._order = Order(self._examples.count, config.seed, "vae/order")

    def __getitem__(self, place: Place) -> Float[Tensor, "n 3 side side"]:
        row, _ = self._order(place.number)
        pixels = to_pixels(self._examples.image(row))
        cycle = cycle_at(self._config.cycles, place.step)
        if cycle.crop is None:
            return pixels[None]
        draws = uniforms(
            self._config.seed, "vae/crops", place.number, place.number + 1, 4 * cycle.crops
        )[0]
        room, squares = pixels.shape[-1] - cycle.crop, []
        for four in draws.reshape(-1, 4):  # the mean of two draws an axis prefers the middle
            x, y = (int((room + 1) * 0.5 * (a + b)) for a, b in (four[:2], four[2:]))
            squares.append(pixels[:, y : y + cycle.crop, x : x + cycle.crop])
        return torch.stack(squares)


def places(config: VAEConfig, first: int, last: int) -> Iterator[list[Place]]:
    """Yield the places of each batch of steps `first` to `last`."""
    number = 0
    for step in range(last):
        cycle = cycle_at(config.cycles, step)
        images = config.batch_size // (cycle.crops if cycle.crop else 1)
        if step >= first:
            yield [Place(step, number + i) for i in range(images)]
        number += images


_LAYERS = 7
"""Children of the encoder up to the 14×14 maps (stem, first to third stage)."""


class AUFeatures:
    """Features of the AU network, as a distance.

    Args:
        device: torch device.
    """

    def __init__(self, device: torch.device) -> None:
        network = load_network(MINI_FILE).to(device).requires_grad_(False)
        self._side = network.input_size
        self._layers = list(network.encoder.children())[:_LAYERS]
        self._mean = torch.tensor(IMAGENET_MEAN, device=device).view(3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=device).view(3, 1, 1)

    def error(self, made: Float[Tensor, "B 3 h w"], wanted: Float[Tensor, "B 3 h w"]) -> Tensor:
        """Return the mean absolute error of the maps of each stage, relative to their size."""
        total = made.new_zeros(())
        a, b = self._normalised(made), self._normalised(wanted)
        for i, layer in enumerate(self._layers):
            a = layer(a)
            with torch.no_grad():
                b = layer(b)
            if i >= 3:
                total = total + (a - b).abs().float().mean() / b.abs().float().mean()
        return total / (_LAYERS - 3)

    def _normalised(self, pixels: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 3 s s"]:
        side = resized_side(self._side)
        if pixels.shape[-1] != side:
            pixels = functional.interpolate(pixels, (side, side), mode="bilinear", antialias=True)
        edge = (side - self._side) // 2
        inner = pixels[..., edge : edge + self._side, edge : edge + self._side]
        return (0.5 * inner + 0.5 - self._mean) / self._std


Pixels = Float[Tensor, "B 3 h w"]

_AT_ONCE, _ON_A_SHEET, _IN_A_ROW = 16, 16, 8


class VAELearner(Learner):
    """Learns an `AutoencoderKL`; batches are pixels [-1, 1], cut as the cycle says."""

    def __init__(self, config: VAEConfig, device: torch.device) -> None:
        with seeded(config.seed):
            vae = make_vae(config.model, config.data.size)
        if config.init is not None:
            begin_from(vae, load_vae(find_part(config.init, "vae"), torch.device("cpu")))
        self._vae: Any = vae
        super().__init__(config, config.cycles, vae, device)
        self._config = config
        sees_wrinkles = any(cycle.loss.features for cycle in config.cycles)
        self._features = AUFeatures(device) if sees_wrinkles else None

    def learn(self, batch: Pixels) -> dict[str, float]:
        """Do one step; before the first with a frozen encoder, the encoder becomes its average.

        So what is exported encodes as what the decoder learns beside.
        """
        frozen = cycle_at(self._config.cycles, self.step).freeze_encoder
        if self.step and frozen > cycle_at(self._config.cycles, self.step - 1).freeze_encoder:
            self._vae.encoder.load_state_dict(self.average.encoder.state_dict())
            self._vae.quant_conv.load_state_dict(self.average.quant_conv.state_dict())
        return super().learn(batch)

    def losses(self, batch: Pixels) -> dict[str, Tensor]:
        """Return the losses of a batch of pixels."""
        vae, cycle = self._vae, cycle_at(self._config.cycles, self.step)
        with self.autocast():
            with torch.set_grad_enabled(not cycle.freeze_encoder):
                posterior = vae.encode(batch).latent_dist
            latents = posterior.sample()
            if cycle.latent_noise:
                size = cycle.latent_noise * torch.rand(len(latents), 1, 1, 1).to(latents)
                strength = size * latents.std().detach()
                latents = latents + strength * torch.randn(latents.shape).to(latents)
            decoded = vae.decode(latents).sample
        decoded = decoded.float()
        found = {
            "absolute": (decoded - batch).abs().mean(),
            "squared": (decoded - batch).square().mean(),
            "edges": edge_error(decoded, batch),
            "divergence": posterior.kl().float().mean() / posterior.mean[0].numel(),
        }
        if self._features is not None and cycle.loss.features:
            with self.autocast():
                found["features"] = self._features.error(decoded, batch)
        total = sum(getattr(cycle.loss, name) * value for name, value in found.items())
        return {"loss": torch.as_tensor(total), **found}

    def compiled(self) -> Sequence[nn.Module]:
        """Return the two halves: the VAE's own call is not used."""
        return [self._vae.encoder, self._vae.decoder]

    def parts(self, batch: Pixels) -> Sequence[Any]:
        """Cut a batch into parts, on the device."""
        return batch.to(self.device).chunk(self.settings.accumulate)


def make_vae(model: VAEModel, size: int) -> AutoencoderKL:
    """Make an untrained VAE."""
    levels = len(model.block_out_channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        up_block_types=("UpDecoderBlock2D",) * levels,  # pyright: ignore[reportArgumentType]
        block_out_channels=model.block_out_channels,  # pyright: ignore[reportArgumentType]
        layers_per_block=model.layers_per_block,
        latent_channels=model.latent_channels,
        norm_num_groups=model.norm_num_groups,
        sample_size=size,
    )


_LOUDER = 10.0
"""Factor of fresh weights of latent channels, which would be quieter than learned ones."""

_SURE = -6.0
"""Logarithm of the variance of latent channels that begin: nearly no noise."""


def begin_from(vae: AutoencoderKL, other: AutoencoderKL) -> None:
    """Give a VAE the weights of another, which may have fewer latent channels.

    The channels that the other does not have are encoded by fresh weights, nearly without noise,
    and decoded by weights of zero: at first they change no image.

    Args:
        vae: what is to learn; its weights are replaced.
        other: where it begins.

    Raises:
        ConfigError: if the two differ in more, or the other has more latent channels.
    """
    sizes = [
        {name: _plain(one.config[name]) for name in VAEModel.model_fields} for one in (vae, other)
    ]
    wide, narrow = (size["latent_channels"] for size in sizes)
    if narrow > wide or sizes[0] != {**sizes[1], "latent_channels": wide}:
        raise ConfigError(f"init is a VAE of {_words(sizes[1])}; model asks for {_words(sizes[0])}")
    weights = vae.state_dict()
    # The encoder's last two layers give means, then logarithms of variances.
    kept = torch.cat([torch.arange(narrow), torch.arange(wide, wide + narrow)])
    weights["encoder.conv_out.weight"][:wide] *= _LOUDER
    weights["encoder.conv_out.weight"][wide:] = 0.0
    weights["encoder.conv_out.bias"][wide:] = _SURE
    for name, old in other.state_dict().items():
        grown = weights[name]
        if grown.shape == old.shape:
            grown.copy_(old)
        elif name.startswith("encoder.conv_out"):
            grown[kept] = old
        elif name.startswith("quant_conv"):
            _pass_on(grown)
            grown[(kept[:, None], kept) if old.ndim > 1 else kept] = old
        elif name.startswith("post_quant_conv"):
            _pass_on(grown)
            grown[(slice(narrow), slice(narrow)) if old.ndim > 1 else slice(narrow)] = old
        else:  # the first layer of the decoder
            grown.zero_()[:, :narrow] = old
    vae.load_state_dict(weights)


def _pass_on(weight: Tensor) -> None:
    """Make a 1×1 convolution, or its bias, one that passes its channels on."""
    weight.zero_()
    if weight.ndim > 1:
        weight[:, :, 0, 0] = torch.eye(len(weight))


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _words(size: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in size.items())


def edge_error(decoded: Pixels, wanted: Pixels) -> Tensor:
    """Return the mean absolute error of the differences of neighbours, at two sizes."""
    error = decoded - wanted
    total = error.new_zeros(())
    for one in (error, functional.avg_pool2d(error, 2)):
        across = (one[..., :, 1:] - one[..., :, :-1]).abs().mean()
        down = (one[..., 1:, :] - one[..., :-1, :]).abs().mean()
        total = total + 0.5 * (across + down)
    return total


class VAERecipe(Recipe[VAEConfig]):
    """The training of the VAE, on images of any source."""

    name = "vae"
    settings = VAEConfig
    makes = "vae"
    what = "AutoencoderKL: images to latents of an eighth of their side, and back"
    free = ("init",)

    def __init__(self, config: VAEConfig, folder: Path) -> None:
        super().__init__(config, folder)
        self.data = config.data
        self._images = VAEImages(config)
        self._held_out = held_out = examples_of(config.data, config.seed, held_out=True)
        self.learner = VAELearner(config, pick_training_device(config.device))
        self.facts = {
            **_begun_with(config.init),
            **examples_of(config.data, config.seed).fingerprint,
        }
        shown = first_rows(held_out, _ON_A_SHEET)
        self._shown = torch.stack([to_pixels(held_out.image(row)) for row in shown])

    def batches(self, first: int, last: int) -> Iterable[Pixels]:
        """Read, or draw and cut, the images of each step."""
        config = self.config
        return load_batches(self._images, places(config, first, last), config.workers, torch.cat)

    @torch.inference_mode()
    def sheet(self) -> Image:
        """Show held-out images, and below each what the VAE makes of it."""
        vae = self.learner.average
        latents = vae.encode(self._shown.to(self.learner.device)).latent_dist.mode()
        made = vae.decode(latents).sample.cpu()
        pairs = zip(self._shown.split(_IN_A_ROW), made.split(_IN_A_ROW), strict=True)
        return sheet_of([list(row) for pair in pairs for row in pair])

    def export(self, about: dict[str, Any]) -> None:
        """Write the VAE in half precision, with its scaling factor and its errors in the card."""
        held_out, vae = self._held_out, self.learner.average
        rows = first_rows(held_out, self.config.held_out)
        images = [held_out.image(row) for row in rows]
        wanted = torch.stack([to_pixels(image) for image in images])
        latents, decoded = _through(vae, wanted)
        vae.register_to_config(scaling_factor=round(1 / float(latents.std()), 5))
        half: Any = AutoencoderKL.from_config(vae.config)
        half.load_state_dict(vae.state_dict())
        path = self.folder / self.makes
        half.to(torch.float16).save_pretrained(path)
        error = (decoded - wanted).float()
        card = {
            **about,
            "file": MODEL_WEIGHTS,
            "sha256": file_sha256(path / MODEL_WEIGHTS),
            "scaling_factor": vae.config["scaling_factor"],
            "held_out": {
                "faces": len(rows),
                "absolute_error": float(error.abs().mean()),
                "psnr": float(10 * torch.log10(4 / error.square().mean())),
                **aus_that_survive(images, decoded, _measurable_aus(held_out, rows)),
            },
        }
        write_card(path / CARD, card)


def _begun_with(init: str | None) -> dict[str, Any]:
    return (
        {} if init is None else {"init_sha256": file_sha256(find_part(init, "vae") / MODEL_WEIGHTS)}
    )


def _measurable_aus(examples: Examples, rows: range) -> Float[np.ndarray, "n aus"]:
    """Return those AUs of examples that the embedded verifier measures."""
    places = [examples.action_units.index(name) for name in AUS]
    return np.stack([*map(examples.aus, rows)])[:, places]


def aus_that_survive(
    images: list[Image], decoded: Float[Tensor, "n 3 h w"], asked: Float[np.ndarray, "n aus"]
) -> dict[str, Any]:
    """Compare the AUs that the embedded verifier reads from images and from what the VAE made.

    Images are left out where no face is found in the image itself or in what the VAE made of it.

    Args:
        images: the images.
        decoded: what the VAE made of them.
        asked: AUs that they show.

    Returns:
        `faceless`, the number of images left out, and `aus`: AU → its correlation after the VAE
        with what was drawn (`r_drawn`) and with the image before (`r_image`); NaN where one of the
        two does not vary.
    """
    verifier = LibreFaceVerifier.from_pretrained("mini")
    before = verifier.measure(images)
    after = verifier.measure([to_image(pixels) for pixels in decoded])
    seen = (before.faces > 0) & (after.faces > 0)
    drawn, image, made = (values[seen].astype(float) for values in (asked, before.aus, after.aus))
    aus = {
        name: {
            "r_drawn": pearson(drawn[:, i], made[:, i]),
            "r_image": pearson(image[:, i], made[:, i]),
        }
        for i, name in enumerate(AUS)
    }
    return {"faceless": int((~seen).sum()), "aus": aus}


@torch.inference_mode()
def _through(
    vae: Any, images: Float[Tensor, "n 3 H W"]
) -> tuple[Float[Tensor, "n c h w"], Float[Tensor, "n 3 H W"]]:
    latents, decoded = [], []
    for part in images.split(_AT_ONCE):
        found = vae.encode(part.to(vae.device)).latent_dist.mode()
        latents.append(found.cpu())
        decoded.append(vae.decode(found).sample.cpu())
    return torch.cat(latents), torch.cat(decoded)


def train_vae(
    config_path: str | Path,
    out: str | Path,
    stop_at: int | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Train a VAE, measure it on held-out images, and export it, as `run_recipe` says."""
    return run_recipe(VAERecipe, config_path, out, stop_at, overrides)
