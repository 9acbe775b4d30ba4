"""From a classifier to a fully-convolutional digit detector."""
