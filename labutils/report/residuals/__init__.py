"""Why residual connections work: gradients, skip x normalisation x initialisation, lesions."""
