"""The learning rates among which validation chose, with seed 0.

No table or figure shows these runs, so the quick profile trains them only if it is asked to.
"""

from labutils.config import RunConfig
from labutils.report.families.experiments import RATES, TUNED, first_seeds
from labutils.report.records import at_rates, experiment


@experiment("side-by-side-rates", varies=TUNED)
def rates() -> list[RunConfig]:
    """Section 1.4: the five networks with either optimiser, each at three learning rates."""
    tried = [at_rates([network], RATES[network.optimizer]) for network in first_seeds()]
    return [config for at_three in tried for config in at_three]
