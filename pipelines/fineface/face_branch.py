"""The faces of a call: embeddings as callers give them, and the weight of their branch."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from diffusers.models.attention_processor import (
    IPAdapterAttnProcessor,
    IPAdapterAttnProcessor2_0,
    IPAdapterXFormersAttnProcessor,
)
from diffusers.models.embeddings import (
    IPAdapterFaceIDImageProjection,
    MultiIPAdapterImageProjection,
)
from jaxtyping import Float
from torch import Tensor, nn

from samplers.identities.face_identity import FACEID_WIDTH
from synthgen.errors import FaceEmbeddingError, WeightsError

FaceEmbeddings = Any
"""Numbers of the shape [batch, faces, 512] or [batch, 512] in any array type."""

_PROCESSORS = (IPAdapterAttnProcessor, IPAdapterAttnProcessor2_0, IPAdapterXFormersAttnProcessor)


def face_batch(embeddings: FaceEmbeddings, prompts: int) -> Float[Tensor, "rows faces 512"]:
    """Return the embeddings of one person for all prompts, or of one for each.

    Args:
        embeddings: numbers [batch, faces, 512] or, for one face a person, [batch, 512].
        prompts: number of prompts.

    Returns:
        1 row or as many as prompts, float32.

    Raises:
        FaceEmbeddingError: if they are no numbers, are not finite, or have another shape.
    """
    try:
        rows = torch.as_tensor(embeddings, dtype=torch.float32).detach()
    except (TypeError, ValueError, RuntimeError) as error:
        raise FaceEmbeddingError(
            f"faceid_embeds must be numbers [batch, faces, {FACEID_WIDTH}] or "
            f"[batch, {FACEID_WIDTH}]; got {type(embeddings).__name__}"
        ) from error
    if rows.ndim not in (2, 3) or rows.shape[-1] != FACEID_WIDTH or not rows.numel():
        raise FaceEmbeddingError(
            f"faceid_embeds have the shape {list(rows.shape)}; it must be "
            f"[batch, faces, {FACEID_WIDTH}] or [batch, {FACEID_WIDTH}]"
        )
    if not rows.isfinite().all():
        raise FaceEmbeddingError("faceid_embeds hold NaN or infinity; they must be finite numbers")
    if rows.shape[0] not in (1, prompts):
        raise FaceEmbeddingError(
            f"faceid_embeds of {rows.shape[0]} people for {prompts} prompts; give one for all "
            "prompts, or one for each"
        )
    return rows.unsqueeze(1) if rows.ndim == 2 else rows  # [rows, faces, 512]


def takes_faces(unet: nn.Module) -> bool:
    """Return whether a UNet has an IP-Adapter for face embeddings.

    Args:
        unet: the UNet, not compiled.

    Raises:
        WeightsError: if it has several IP-Adapters, or one of another kind.
    """
    projection = getattr(unet, "encoder_hid_proj", None)
    if projection is None:
        return False
    layers = (
        list(projection.image_projection_layers)
        if isinstance(projection, MultiIPAdapterImageProjection)
        else [projection]
    )
    if len(layers) != 1 or not isinstance(layers[0], IPAdapterFaceIDImageProjection):
        kinds = ", ".join(type(layer).__name__ for layer in layers)
        raise WeightsError(
            f"the UNet has IP-Adapters of the kinds {kinds}; this pipeline takes one of the FaceID "
            "kind, such as ip-adapter-faceid-portrait-v11_sd15.bin"
        )
    return True


@contextlib.contextmanager
def face_scale(unet: nn.Module, scale: int | float) -> Iterator[None]:
    """Multiply the scales of a UNet's IP-Adapter, as long as it is entered.

    Args:
        unet: the UNet, not compiled.
        scale: factor on what `set_ip_adapter_scale` has set; at 0 the branch is not computed.
    """
    processors: Mapping[str, Any] = unet.attn_processors  # pyright: ignore[reportAssignmentType]
    before = {p: p.scale for p in processors.values() if isinstance(p, _PROCESSORS)}
    try:
        for processor, scales in before.items():
            processor.scale = [_times(scale, own) for own in scales]
        yield
    finally:
        for processor, scales in before.items():
            processor.scale = scales


def _times(scale: int | float, own: Any) -> Any:
    return [_times(scale, part) for part in own] if isinstance(own, list) else scale * own
