"""Priors that come with synthgen: data files beside this module, each with its source in it."""

from importlib.resources import files

from synthgen.config import BuiltinConfig, ExpressionsConfig, parse_expressions
from synthgen.config.priors.base import PriorSection
from synthgen.config.yaml_text import read_yaml
from synthgen.errors import ConfigError
from synthgen.foreign import shown

BUILT_IN = ("disfa-rates", "cohn-kanade-rates")
"""Names of the data files, without their ending."""


def builtin_section(config: BuiltinConfig) -> ExpressionsConfig:
    """Return the section that a built-in prior stands for, with the keys that every prior has.

    Raises:
        ConfigError: if there is no built-in prior of that name.
    """
    if config.name not in BUILT_IN:
        raise ConfigError(
            f"expressions.name: there is no built-in prior {shown(config.name)}; those that exist: "
            f"{', '.join(BUILT_IN)}"
        )
    text = files("samplers.priors").joinpath(f"{config.name}.yaml").read_text("utf-8")
    section = parse_expressions(read_yaml(text), where=config.name)
    shared = {key: getattr(config, key) for key in PriorSection.model_fields if key != "source"}
    return section.model_copy(update=shared)
