"""Data sets as tensors: downloads, splits, augmentation, built-in shapes."""

from labutils.data.sets import DataError, DataSet, Split, load

__all__ = ["DataError", "DataSet", "Split", "load"]
