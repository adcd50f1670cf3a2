"""Readers of slots in images: the attribute network for drawn faces, CLIP for photographs.

Each image is read alone, so that a reading does not depend on what stands beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional
from transformers import CLIPImageProcessor, CLIPModel

from pipelines.attributes.network import AttributeNetwork
from pipelines.diffusion.models import load_model
from pipelines.diffusion.prompts import load_tokenizer
from pipelines.pictures import to_rgb
from pipelines.slots.section import CLIP_WEIGHTS, AttributesConfig, ClipConfig
from pipelines.slots.traits import SlotTraits, asked_of, slot_traits
from pipelines.weight_files import file_sha256, read_model_config, read_safetensors_header
from samplers.identities.identity import filled
from samplers.spec import SampleSpec
from synthgen.config.identities.base import IdentitySection
from synthgen.errors import ConfigError, WeightsError
from synthgen.foreign import excerpt, first_line

# pyright: reportPrivateImportUsage=false
# transformers exports its names lazily, which the type checker does not see.

_TEXTS = 4096
"""Sentences whose embeddings are kept."""


@dataclass(frozen=True, slots=True)
class SlotReading:
    """Reading of a slot in an image.

    Attributes:
        value: what was read: one of the slot's values, or else in words.
        probability: how probable it is [0, 1].
        asked: how probable the value asked for is.
        right: whether what was read is what was asked for.
    """

    value: str
    probability: float
    asked: float
    right: bool


@runtime_checkable
class SlotReader(Protocol):
    """Reader of slots."""

    def read(
        self, image: Image, spec: SampleSpec, slots: Sequence[str]
    ) -> dict[str, SlotReading | None]:
        """Read an RGB image of any size; None where there is nothing that a value names."""
        ...

    def check(self, spec: SampleSpec, slots: Sequence[str]) -> None:
        """Refuse, before work begins, a spec whose values cannot be told apart.

        Raises:
            ConfigError: if they cannot.
        """
        ...

    def fingerprint(self) -> dict[str, Any]:
        """Return what the readings are a function of; as `Verifier.fingerprint`."""
        ...


class AttributesReader:
    """Reads slots by the traits that a network sees; right where it sees all that are asked for.

    A slot's probability is the product of those of the traits that its value names.

    Args:
        network: the network, in evaluation mode.
        slots: slot → the traits that it is about, of those that the network reads.
        name: name of the network's file.
        sha256: the file's checksum.
        licence: the file's licence.
    """

    def __init__(
        self,
        network: AttributeNetwork,
        slots: Mapping[str, SlotTraits],
        name: str = "attributes",
        sha256: str = "",
        licence: str = "not stated",
    ) -> None:
        self._network = network
        self._slots = slots
        self._name, self._sha256, self._licence = name, sha256, licence

    @classmethod
    def from_config(
        cls, config: AttributesConfig, identities: IdentitySection, device: str
    ) -> "AttributesReader":
        """Load a network.

        Raises:
            WeightsError: as `AttributeNetwork.from_file`.
        """
        path = Path(config.weights).expanduser()
        network = AttributeNetwork.from_file(path).to(device)
        licence = read_safetensors_header(path)[1].get("licence", "not stated")
        slots = slot_traits(identities, network.traits)
        return cls(network, slots, path.name, file_sha256(path), licence)

    def check(self, spec: SampleSpec, slots: Sequence[str]) -> None:
        """Accept any."""

    def read(
        self, image: Image, spec: SampleSpec, slots: Sequence[str]
    ) -> dict[str, SlotReading | None]:
        """Read an image; its middle square is looked at."""
        found = self._probabilities(image)
        return {slot: self._reading(found, spec, slot) for slot in slots}

    def fingerprint(self) -> dict[str, Any]:
        """Return the network's file."""
        return {
            "weights": {self._name: self._sha256},
            "licences": {self._name: self._licence},
            "versions": {"torch": version("torch"), "pillow": version("pillow")},
        }

    def _reading(
        self, found: Mapping[str, Mapping[str, float]], spec: SampleSpec, slot: str
    ) -> SlotReading | None:
        about = self._slots[slot]
        asked = {
            trait: value
            for trait, value in asked_of(spec.prompt, about.traits).items()
            if value in found[trait]
        }
        if not asked:
            return None
        read = {trait: max(found[trait], key=found[trait].__getitem__) for trait in asked}
        right = read == asked
        return SlotReading(
            value=about.in_words(read, spec.identity[slot], right),
            probability=float(np.prod([found[trait][value] for trait, value in read.items()])),
            asked=float(np.prod([found[trait][value] for trait, value in asked.items()])),
            right=right,
        )

    @torch.inference_mode()
    def _probabilities(self, image: Image) -> dict[str, dict[str, float]]:
        device = next(self._network.parameters()).device
        found = self._network(_square(image)[None].to(device))
        return {
            trait: dict(zip(values, found[trait][0].tolist(), strict=True))
            for trait, values in self._network.traits.items()
        }


def _square(image: Image) -> Float[Tensor, "3 side side"]:
    """Return the middle square of an image, pixels in [0, 1]."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = np.asarray(to_rgb(image).crop((left, top, left + side, top + side)), np.float32)
    return torch.from_numpy(square / 255).permute(2, 0, 1)


class ClipReader:
    """Reads slots by CLIP, zero-shot: a softmax over the sentences of a slot's values.

    A. Radford et al., "Learning Transferable Visual Models From Natural Language Supervision"
    (2021), section 3.1.

    Args:
        model: CLIP, in evaluation mode.
        tokenizer: its tokenizer.
        processor: its image processor.
        identities: slots and template of the run.
        config: sentences, and the model's name and licence.
        sha256: checksum of the weights.
    """

    def __init__(
        self,
        model: CLIPModel,
        tokenizer: Any,
        processor: Any,
        identities: IdentitySection,
        config: ClipConfig,
        sha256: str = "",
    ) -> None:
        self._model, self._tokenizer, self._processor = model, tokenizer, processor
        self._values = {slot: list(each) for slot, each in identities.weighted_slots().items()}
        self._prompt = identities.template
        self._config = config
        self._sha256 = sha256
        self._embedded = lru_cache(maxsize=_TEXTS)(self._embed_text)

    @classmethod
    def from_config(
        cls, config: ClipConfig, identities: IdentitySection, device: str
    ) -> "ClipReader":
        """Load a CLIP.

        Raises:
            WeightsError: if a file is missing, cannot be loaded, or is another model's.
        """
        folder = config.folder()
        read_model_config(folder / "preprocessor_config.json")
        model = load_model(CLIPModel, folder, torch.float32).eval().requires_grad_(False)
        try:
            processor = CLIPImageProcessor.from_pretrained(folder)
        except Exception as error:  # of whatever a class does with the values of a strange config
            raise WeightsError(f"{folder} cannot be loaded: {first_line(error)}") from error
        tokenizer = load_tokenizer(folder)
        sha256 = file_sha256(folder / CLIP_WEIGHTS)
        return cls(model.to(device), tokenizer, processor, identities, config, sha256)

    def check(self, spec: SampleSpec, slots: Sequence[str]) -> None:
        """Refuse values whose sentences CLIP reads alike, such as beyond its last token.

        Raises:
            ConfigError: with the slot and both values.
        """
        for slot in slots:
            seen: dict[tuple[int, ...], str] = {}
            for value, text in self.sentences(spec, slot).items():
                tokens = tuple(self._tokens(text)["input_ids"][0].tolist())
                if tokens in seen:
                    raise ConfigError(
                        f"the check slots cannot tell {slot} {value!r} from {seen[tokens]!r}: "
                        f"{self._config.model} reads the same tokens of both sentences "
                        f"({excerpt(text)}); set reader.template or reader.texts"
                    )
                seen[tokens] = value

    def sentences(self, spec: SampleSpec, slot: str) -> dict[str, str]:
        """Return value → its sentence, of a slot."""
        if slot in self._config.texts:
            return self._config.texts[slot]
        if (template := self._config.template) is not None:
            name = slot.replace("_", " ")
            return {
                value: " ".join(template.format(value=value, slot=name).split())
                for value in self._values[slot]
            }
        asked = dict(spec.identity)
        return {value: filled(self._prompt, {**asked, slot: value}) for value in self._values[slot]}

    @torch.inference_mode()
    def read(
        self, image: Image, spec: SampleSpec, slots: Sequence[str]
    ) -> dict[str, SlotReading | None]:
        """Read an image of any size."""
        pixels = self._processor(images=[to_rgb(image)], return_tensors="pt")["pixel_values"]
        features = self._model.get_image_features(pixel_values=pixels.to(self._model.device))
        seen = _unit(features)[0]
        return {slot: self._reading(seen, spec, slot) for slot in slots}

    def fingerprint(self) -> dict[str, Any]:
        """Return the model's file."""
        name = f"{Path(self._config.model).name}/{CLIP_WEIGHTS}"
        return {
            "weights": {name: self._sha256},
            "licences": {self._config.model: self._config.licence or "not stated"},
            "versions": {each: version(each) for each in ("pillow", "torch", "transformers")},
        }

    def _reading(self, seen: Tensor, spec: SampleSpec, slot: str) -> SlotReading:
        sentences = self.sentences(spec, slot)
        texts = torch.stack([self._embedded(text) for text in sentences.values()])
        scale = self._model.logit_scale.exp()
        found = (scale * texts @ seen).softmax(0).tolist()
        shares = dict(zip(sentences, found, strict=True))
        value = max(shares, key=shares.__getitem__)
        asked = spec.identity[slot]
        return SlotReading(value, shares[value], shares[asked], value == asked)

    def _tokens(self, text: str) -> Any:
        return self._tokenizer(text, truncation=True, return_tensors="pt")

    def _embed_text(self, text: str) -> Float[Tensor, " width"]:
        features = self._model.get_text_features(**self._tokens(text).to(self._model.device))
        return _unit(features)[0]


def _unit(features: Any) -> Float[Tensor, "1 width"]:
    """Return unit vectors of what transformers gives: a tensor, or an output that holds it."""
    vectors = features if isinstance(features, Tensor) else features.pooler_output
    return functional.normalize(vectors.float(), dim=-1)
