"""Section 1.5: one strong network, its plain twin, and what accuracy costs."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
