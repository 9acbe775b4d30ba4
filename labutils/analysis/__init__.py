"""What a trained network gets wrong, and what it is without some of its blocks."""
