"""The one training loop; evaluation, optimisers, checkpoints, layer statistics."""

from labutils.training.classifiers import fit
from labutils.training.evaluation import evaluate

__all__ = ["evaluate", "fit"]
