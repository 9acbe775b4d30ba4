"""Section 1.4: families of networks side by side, and whether one protocol is fair to all."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
