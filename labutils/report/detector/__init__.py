"""Exercise 2: the digit detector, what it finds and at what price."""
