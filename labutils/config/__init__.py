"""Frozen dataclasses that say everything that decides a result, and the ids made from them."""

from labutils.config.base import Config, ConfigError, DataName
from labutils.config.classifier import FAMILIES, ModelName, RunConfig
from labutils.config.fcn import FCNConfig
from labutils.config.fit import FitConfig

__all__ = [
    "FAMILIES",
    "Config",
    "ConfigError",
    "DataName",
    "FCNConfig",
    "FitConfig",
    "ModelName",
    "RunConfig",
]
