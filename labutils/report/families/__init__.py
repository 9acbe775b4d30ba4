"""Section 1.4: families of networks side by side, and whether one protocol is fair to all."""
