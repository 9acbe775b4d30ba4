"""Depth, residual connections and class activation maps: a course report that can be run."""
