"""LoRAs that learn: peft's layers in a frozen UNet, and what is written of them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from pipelines.diffusion.lora import alpha_metadata, several_loras
from pipelines.fineface.adapter import LORA_TARGETS
from pipelines.training.baselines.config import LoraSettings
from pipelines.training.learner import seeded

_PARTS = ("lora_A", "lora_B")


class LoraLayers(nn.Module):
    """The layers of LoRAs in a UNet, without the UNet: what learns, is averaged and is kept.

    They are the UNet's own, by the names `<adapter>.<layer>.lora_A.weight`.

    Args:
        unet: a UNet that has the adapters.
        adapters: their names.
    """

    def __init__(self, unet: nn.Module, adapters: Sequence[str]) -> None:
        super().__init__()
        for path, layer in unet.named_modules():
            if isinstance(layer, LoraLayer):
                for adapter in adapters:
                    for part in _PARTS:
                        own = getattr(layer, part)[adapter]
                        _place(self, f"{adapter}.{path}.{part}", own)

    def tensors(self, adapter: str) -> dict[str, Tensor]:
        """Return the tensors of a LoRA, as diffusers names them in files."""
        own = self.get_submodule(adapter).state_dict()
        return {f"unet.{name}": value for name, value in own.items()}

    def ups(self, adapter: str) -> list[nn.Module]:
        """Return the last layers of a LoRA, whose output is what it adds."""
        found = self.get_submodule(adapter).named_modules()
        return [module for name, module in found if name.endswith(_PARTS[1])]


def add_loras(unet: nn.Module, adapters: Sequence[str], config: LoraSettings) -> LoraLayers:
    """Add untrained LoRAs to every attention layer of a UNet, and return their layers.

    Each does nothing yet: A is gaussian of standard deviation 1 / rank, B is zero.

    Args:
        unet: the frozen UNet.
        adapters: names of the LoRAs.
        config: their rank and alpha, and the seed of their weights.
    """
    with seeded(config.seed), several_loras():
        for adapter in adapters:
            made = LoraConfig(
                r=config.rank,
                lora_alpha=config.alpha,  # pyright: ignore[reportArgumentType] - it only divides
                target_modules=list(LORA_TARGETS),
                init_lora_weights="gaussian",
            )
            unet.add_adapter(made, adapter_name=adapter)  # pyright: ignore[reportCallIssue]
    layers = LoraLayers(unet, adapters)
    return layers.to(torch.float32).requires_grad_(True)


def write_lora(
    layers: LoraLayers, adapter: str, path: Path, config: LoraSettings, dtype: torch.dtype
) -> None:
    """Write a LoRA as peft and diffusers do, with its alpha.

    Args:
        layers: the layers.
        adapter: which LoRA.
        path: the file.
        config: its rank and alpha.
        dtype: number format of the file.
    """
    tensors = {
        name: value.detach().to("cpu", dtype).contiguous()
        for name, value in layers.tensors(adapter).items()
    }
    save_file(tensors, path, alpha_metadata(config.rank, config.alpha, LORA_TARGETS))


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        if parent not in dict(root.named_children()):
            root.add_module(parent, nn.Module())
        root = root.get_submodule(parent)
    root.add_module(name, module)
