"""Blocks, networks, initialisation, costs."""
