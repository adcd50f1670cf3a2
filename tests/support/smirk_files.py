"""Files of SMIRK's published layout, of made weights."""

import torch

from pipelines.smirk import SmirkEncoder

PREFIX = "smirk_encoder.expression_encoder."
OTHERS = (
    "smirk_encoder.pose_encoder.encoder.conv_stem.weight",
    "smirk_encoder.shape_encoder.shape_layers.0.bias",
    "smirk_generator.final_conv.bias",
)


def made_encoder(seed=3):
    """Make a network whose numbers vary with the picture, and reach the bounds of lids and jaw."""
    torch.manual_seed(seed)
    encoder = SmirkEncoder().eval()
    with torch.no_grad():
        for name, value in encoder.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2.0)
            elif name.endswith(("running_mean", "bias")):
                value.normal_(0, 0.2)
            elif name.endswith("num_batches_tracked"):
                value.fill_(7)
            elif value.ndim == 4:
                torch.nn.init.kaiming_normal_(
                    value, mode="fan_out" if value.shape[1] > 1 else "fan_in"
                )
        encoder.expression_layers[0].weight.normal_(0, 0.003)
    return encoder


def smirk_tensors(seed=3):
    """Return what `SMIRK_em1.pt` holds: the expression's network, and parts of the others."""
    found = {f"{PREFIX}{name}": value for name, value in made_encoder(seed).state_dict().items()}
    return {**{name: torch.ones(3) for name in OTHERS}, **found}


def write_smirk(path, seed=3):
    """Write a file of the published layout."""
    torch.save(smirk_tensors(seed), path)
    return path
