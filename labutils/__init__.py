"""Models, training, measures and figures of the lab report on convolutional networks."""
