"""Put a LoRA into a UNet's weights, or take it out, by diffusers' own loader."""

# pyright: reportPrivateImportUsage=false
# diffusers exports its names lazily, which the type checker does not see.

from collections.abc import Mapping

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from synthgen.errors import WeightsError

_NAME = "fineface"


@torch.no_grad()
def fuse_lora(
    pipeline: DiffusionPipeline,
    unet: UNet2DConditionModel,
    lora: Mapping[str, Tensor],
    scale: int | float,
) -> None:
    """Add scale·B·A to the weights of each layer, and leave no LoRA layer behind.

    Args:
        pipeline: the pipeline of the UNet; its offloading is lifted meanwhile.
        unet: the UNet, not compiled.
        lora: `unet.<layer>.lora_A.weight` [rank, inputs] and `lora_B` [outputs, rank]; may be
            empty.
        scale: factor; the negative of what was fused takes it out again, to within the rounding of
            the weights' number format.

    Raises:
        WeightsError: if the UNet has other LoRA layers, which fusing would scale too, or if its
            projections are fused copies, which the LoRA would not reach.
    """
    if not lora or not scale:
        return
    if others := ", ".join(getattr(unet, "peft_config", {})):
        raise WeightsError(
            f"the UNet has other LoRA adapters ({others}); "
            "unload them, and load them again after the AU adapter"
        )
    if any(getattr(module, "fused_projections", False) for module in unet.modules()):
        raise WeightsError(
            "the UNet's attention projections are fused; call unet.unfuse_qkv_projections() before "
            "the AU adapter is loaded or unloaded, and fuse them again after it"
        )
    unet.load_lora_adapter(dict(lora), prefix="unet", adapter_name=_NAME, _pipeline=pipeline)
    unet.fuse_lora(lora_scale=scale, adapter_names=[_NAME])
    unet.unload_lora()
