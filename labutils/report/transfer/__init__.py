"""Transfer to CIFAR-100, and distillation."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
