"""Laws that hold for every optimizer, schedule, loss, model, metric or placement, as checks of a user's own object.

    from gdjax import laws

    def test_my_optimizer():
        laws.check_optimizer(my_optimizer(0.1), with_rate=my_optimizer)

Each check tests a list of named laws. The first that does not hold raises `LawBroken` with its name, the statement of the
law, and the smallest case found. With `all=True` nothing raises, and the report lists the broken laws. A law that need not
hold is excepted with a reason: `exceptions={"linear": "eps is added to the rate"}`.

`trees`, `gradients` and `dtypes` are Hypothesis strategies for tests of your own.

The package needs chex and hypothesis, the extra `gdjax[laws]`.
"""

try:
    import chex as _chex
    import hypothesis as _hypothesis
except ImportError as _error:
    raise ImportError(f"gdjax.laws needs chex and hypothesis: pip install 'gdjax[laws]' ({_error})") from _error

from gdjax.laws.check import Law, LawBroken, Laws, Report
from gdjax.laws.loss import check_loss
from gdjax.laws.metric import check_metric
from gdjax.laws.model import check_model
from gdjax.laws.optimizer import check_optimizer
from gdjax.laws.placement import check_placement
from gdjax.laws.schedule import check_schedule
from gdjax.laws.strategies import dtypes, gradients, trees

__all__ = [
    "Law",
    "LawBroken",
    "Laws",
    "Report",
    "check_loss",
    "check_metric",
    "check_model",
    "check_optimizer",
    "check_placement",
    "check_schedule",
    "dtypes",
    "gradients",
    "trees",
]
