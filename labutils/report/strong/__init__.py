"""Section 1.5: one strong network, its plain twin, and what accuracy costs."""
