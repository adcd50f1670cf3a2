"""Any `image-text-to-text` model of transformers, asked whether it sees a photo, and what it sees.

Models with a chat template are asked as in a chat. Others, such as BLIP-2 (Li et al., 2023), go on
with a text: a question with "Answer:" at its end, or the beginning of a caption. The answer to the
question is what they expect as the first token: `p(yes)` is the probability of a token that begins
a "yes", as a share of those that begin a "yes" or a "no".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from PIL.Image import Image
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from pipelines.diffusion.models import check_loading_info, no_progress_bars
from pipelines.hub import commit_of, resolve
from pipelines.weight_files import check_number_formats, file_sha256, read_safetensors_header
from synthgen.errors import ConfigError, WeightsError
from synthgen.foreign import excerpt, first_line

# pyright: reportPrivateImportUsage=false
# transformers exports its names lazily, which the type checker does not see.

BLIP2 = "Salesforce/blip2-opt-2.7b"
"""Hub id of the model that looks where no other is named (MIT)."""

_CONFIG = "config.json"
_FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
_SPELLINGS = {
    "yes": ("yes", "Yes", "YES", " yes", " Yes", " YES"),
    "no": ("no", "No", "NO", " no", " No", " NO"),
}
_CAPTION_TOKENS = 40


@dataclass(frozen=True, slots=True)
class Words:
    """Words that a model is asked with.

    Attributes:
        question: question whose answer is yes for a photograph.
        caption: for models that chat, what asks for a caption; for others, how it begins.
    """

    question: str
    caption: str


class VisionLanguageModel:
    """A model that looks at pictures.

    Args:
        model: the model, in evaluation mode on its device.
        processor: its processor.
        words: what it is asked with; None: words that suit its kind.
        name: its Hub id or folder.
        sha256: file of weights → checksum.
        commit: its commit on the Hub, or None.

    Raises:
        WeightsError: if its tokens do not tell a yes from a no.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        words: Words | None = None,
        name: str = "",
        sha256: dict[str, str] | None = None,
        commit: str | None = None,
    ) -> None:
        self._model, self._processor = model, processor
        self.chats = getattr(processor, "chat_template", None) is not None
        self.words = words or suited(chats=self.chats)
        self.name = name
        self._sha256, self._commit = sha256 or {}, commit
        self._processor.tokenizer.padding_side = "left"  # answers begin where prompts end
        self._yes, self._no = (self._first_tokens(answer) for answer in ("yes", "no"))
        if not self._yes or not self._no or self._yes & self._no:
            raise WeightsError(
                f"{name}: its tokenizer begins 'yes' and 'no' with the same token, so its first "
                "token is no answer; take another model"
            )

    @classmethod
    def from_pretrained(
        cls,
        id_or_folder: str,
        *,
        revision: str | None = None,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        question: str | None = None,
        caption: str | None = None,
        setting: str = "--caption-model",
    ) -> "VisionLanguageModel":
        """Load a model.

        Args:
            id_or_folder: Hub id, or a folder.
            revision: revision on the Hub.
            device: device of the model.
            dtype: number format of its weights.
            question: question whose answer is yes for a photograph; None: one that suits it.
            caption: what asks for a caption, or how one begins; None: one that suits it.
            setting: option that names the model, for errors.

        Raises:
            WeightsError: if a file is missing, or it is no such model.
            ConfigError: if the device cannot be used.
        """
        folder = resolve(
            id_or_folder, revision=revision, files=[_CONFIG], patterns=_FILES, setting=setting
        )
        files = _weight_files(folder, id_or_folder)
        try:
            with no_progress_bars():
                processor = AutoProcessor.from_pretrained(folder)
                kind: Any = AutoModelForImageTextToText
                model, info = kind.from_pretrained(
                    folder, dtype=dtype, use_safetensors=True, output_loading_info=True
                )
        except Exception as error:  # of whatever a class does with the values of a strange config
            raise WeightsError(
                f"{excerpt(id_or_folder)} is no image-text-to-text model that transformers loads: "
                f"{first_line(error)}"
            ) from error
        check_loading_info(info, folder, exact=False)
        try:
            model = model.to(device).eval().requires_grad_(False)
        except (RuntimeError, AssertionError) as error:
            raise ConfigError(f"device {device!r} cannot be used: {first_line(error)}") from error
        made = cls(model, processor, None, str(id_or_folder), files, commit_of(folder))
        made.words = Words(question or made.words.question, caption or made.words.caption)
        return made

    @torch.inference_mode()
    def photo(self, images: Sequence[Image]) -> list[float]:
        """Return p(yes) for each picture [0, 1]."""
        made = self._generate(images, self._question, 1)
        logits = made.logits[0].double()
        shares = logits.log_softmax(dim=-1)
        yes = shares[:, sorted(self._yes)].logsumexp(dim=-1)
        no = shares[:, sorted(self._no)].logsumexp(dim=-1)
        return torch.sigmoid(yes - no).tolist()

    @torch.inference_mode()
    def captions(self, images: Sequence[Image]) -> list[str]:
        """Describe each picture: one line, or nothing where the model says nothing."""
        made = self._generate(images, self.words.caption, _CAPTION_TOKENS)
        texts = self._processor.batch_decode(made.sequences, skip_special_tokens=True)
        return [self._one_line(text) for text in texts]

    def fingerprint(self) -> dict[str, Any]:
        """Return what its answers are a function of."""
        return {
            "model": self.name,
            "commit": self._commit,
            "sha256": dict(self._sha256),
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "question": self._question,
            "caption": self.words.caption,
        }

    @property
    def _question(self) -> str:
        return self.words.question

    def _one_line(self, text: str) -> str:
        lines = text.strip().splitlines()
        said = " ".join((lines or [""])[0].split())
        if not said or self.chats:
            return said
        return " ".join(f"{self.words.caption} {said}".split())

    def _generate(self, images: Sequence[Image], text: str, tokens: int) -> Any:
        """Generate greedily; the sequences hold what is new alone."""
        inputs = self._inputs(images, text).to(self._model.device)
        for name, value in inputs.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                inputs[name] = value.to(self._model.dtype)
        made = self._model.generate(
            **inputs,
            max_new_tokens=tokens,
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
            output_logits=True,
        )
        made.sequences = _new_tokens(made.sequences, inputs["input_ids"])
        return made

    def _inputs(self, images: Sequence[Image], text: str) -> Any:
        if not self.chats:
            return self._processor(
                images=list(images), text=[text] * len(images), return_tensors="pt", padding=True
            )
        asked = [
            [
                {
                    "role": "user",
                    "content": [{"type": "image", "image": image}, {"type": "text", "text": text}],
                }
            ]
            for image in images
        ]
        return self._processor.apply_chat_template(
            asked,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )

    def _first_tokens(self, answer: str) -> set[int]:
        found = set()
        for word in _SPELLINGS[answer]:
            tokens = self._processor.tokenizer(word, add_special_tokens=False)["input_ids"]
            # A blank of its own says nothing of what follows it.
            if tokens and self._processor.tokenizer.decode(tokens[:1]).strip():
                found.add(tokens[0])
        return found


def suited(*, chats: bool) -> Words:
    """Return words that suit a kind of model."""
    if chats:
        return Words(
            "Is this a photo, and no drawing, painting or rendering? Answer yes or no.",
            "Describe this picture in one short sentence.",
        )
    return Words("Question: is this a photo? Answer:", "a photo of")


def _new_tokens(
    made: Int[Tensor, "batch length"], asked: Int[Tensor, "batch prompt"]
) -> Int[Tensor, "batch new"]:
    """Return what a model wrote: decoders repeat what they were given, others do not."""
    length = asked.shape[1]
    if made.shape[1] >= length and bool((made[:, :length] == asked).all()):
        return made[:, length:]
    return made


def _weight_files(folder: Path, name: str) -> dict[str, str]:
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise WeightsError(f"{excerpt(name)} has no .safetensors file, and no other kind is read")
    for file in files:
        check_number_formats(read_safetensors_header(file)[0], str(file))
    return {file.name: file_sha256(file) for file in files}
