"""Blocks, networks, initial weights, receptive fields, costs."""
