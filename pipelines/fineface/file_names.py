"""Names of the files in which FineFace is published; loads no torch."""

ATTENTION_FILE = "attn_processors.ckpt"
ENCODER_FILE = "au_encoder.ckpt"
LORA_FILE = "pytorch_lora_weights.safetensors"
PICKLE_SUFFIX = ".ckpt"


def file_names(weight_prefix: str, lora_scale: int | float) -> list[str]:
    """Return the names of the files that must be there.

    Args:
        weight_prefix: `""` for the text variant, `"sd15_"` for the FaceID variant. Only the text
            variant comes with a LoRA; another prefix may have one.
        lora_scale: scale of the LoRA; at 0 its file is not read.
    """
    names = [ATTENTION_FILE, ENCODER_FILE]
    if lora_scale and not weight_prefix:
        names.append(LORA_FILE)
    return [weight_prefix + name for name in names]
