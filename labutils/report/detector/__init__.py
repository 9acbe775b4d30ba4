"""Exercise 2: the digit detector, what it finds and at what price."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
