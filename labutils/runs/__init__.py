"""The doors to stored results: load_or_train, load_or_measure, sweeps."""
