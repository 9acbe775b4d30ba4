"""Why residual connections work: gradients, normalisation, initialisation, lesions."""

from labutils.report.records import chapter

__getattr__ = chapter(__name__)
