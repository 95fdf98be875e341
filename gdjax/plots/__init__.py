"""Pictures of a run: plain matplotlib figures, drawn by Agg, without pyplot and so without global state.

    save(curves(result.history, best=result.best_evaluation, monitor=result.monitor), "curves.png")

gdjax itself never imports this package, nor matplotlib (the extra `gdjax[lab]`): import it where a picture is
wanted.
"""

from gdjax.plots.boundary import boundary
from gdjax.plots.confusion import confusion
from gdjax.plots.curves import curves
from gdjax.plots.style import PALETTE, palette, save

__all__ = ["PALETTE", "boundary", "confusion", "curves", "palette", "save"]
