"""What decides a result: frozen dataclasses, the ids made from them, data sets and profiles."""

from labutils.config.base import Config, ConfigError
from labutils.config.classifier import FAMILIES, ModelName, RunConfig
from labutils.config.data_sets import DATA_SETS, DataName, DataSpec
from labutils.config.fcn import FCNConfig
from labutils.config.fit import FitConfig
from labutils.config.transfer import DistillConfig, TransferConfig

__all__ = [
    "FAMILIES", "Config", "ConfigError", "DATA_SETS", "DataName", "DataSpec", "DistillConfig",
    "FCNConfig", "FitConfig", "ModelName", "RunConfig", "TransferConfig",
]  # fmt: skip
