"""The learning rates among which validation chose, with seed 0.

No table or figure shows these runs, so the quick profile trains them only if it is asked to.
"""

from labutils.config import RunConfig
from labutils.report.records import at_rates, experiment
from labutils.report.residuals.experiments import CONVNET_36, DECIDED, MLP_40, RATES, deciding_kinds


@experiment("deciding-mnist-rates", varies=DECIDED)
def deciding_mnist_rates() -> list[RunConfig]:
    """Why residuals work: deep MLPs that keep signal and gradient, each at three rates."""
    return at_rates(deciding_kinds(MLP_40), RATES)


@experiment("deciding-cifar10-rates", varies=DECIDED)
def deciding_cifar10_rates() -> list[RunConfig]:
    """Why residuals work: deep ConvNets that keep signal and gradient, each at three rates."""
    return at_rates(deciding_kinds(CONVNET_36), RATES)
