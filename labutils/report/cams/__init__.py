"""Exercise 3: class activation maps, seen and measured."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
