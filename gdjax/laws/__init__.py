"""Laws: what is true of every optimizer, schedule, loss, model and metric, as checks of anyone's.

    from gdjax import laws

    def test_my_optimizer():
        laws.check_optimizer(my_optimizer(0.1), with_rate=my_optimizer)

Each check asks a list of named laws; the first that does not hold raises `LawBroken`, which names it, says in one
sentence what must hold, and shows the smallest case found. With `all=True` nothing raises and the report tells what
is broken. What a law need not hold for is said with its reason: `exceptions={"linear": "eps is added to the rate"}`.

`trees`, `gradients` and `dtypes` are Hypothesis strategies for tests of your own.

It needs chex and hypothesis, the extra `gdjax[laws]`.
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
    "check_schedule",
    "dtypes",
    "gradients",
    "trees",
]
