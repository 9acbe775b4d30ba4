"""Section 1.3: depth again, with convolutions."""
