"""Section 1.3: depth again, with convolutions and with batch norm."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
