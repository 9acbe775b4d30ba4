"""Sections 1.1 and 1.2: width, depth, learning rate and early stopping of MLPs."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
