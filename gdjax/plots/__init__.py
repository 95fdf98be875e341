"""Pictures of runs and of functions.

They are matplotlib figures, drawn by Agg, without pyplot and so without global state.

    save(curves(result), "curves.png")                       save(result.plot(), "curves.png")
    contour("x^2 + 10*y^2", (-3, 3), minimize(...))         minimize(..., record=True).plot()

Arguments may have any unambiguous form (see `reading` and `scene`). gdjax itself imports neither this package nor
matplotlib (the extra `gdjax[lab]`). A notebook shows each picture.
"""

try:
    import matplotlib as matplotlib
except ImportError as _error:
    raise ImportError("gdjax.plots: pictures need matplotlib; pip install 'gdjax[lab]'", name="matplotlib") from _error

from gdjax.plots._boundary import boundary
from gdjax.plots._comparison import compare
from gdjax.plots._computation import computation, graph_svg
from gdjax.plots._confusion import confusion
from gdjax.plots._curves import curves
from gdjax.plots._fitted import fitted_curve
from gdjax.plots._landscape import contour, curve, field, landscape, loss_surface, surface
from gdjax.plots._picture import picture
from gdjax.plots._range_test import range_test
from gdjax.plots._standings import standings
from gdjax.plots._sweeps import sweep_values
from gdjax.plots.animation import animate
from gdjax.plots.flow import layer_flow
from gdjax.plots.progress import descent, rates
from gdjax.plots.style import PALETTE, palette, save

__all__ = [
    "PALETTE",
    "animate",
    "boundary",
    "compare",
    "computation",
    "confusion",
    "contour",
    "curve",
    "curves",
    "descent",
    "field",
    "fitted_curve",
    "graph_svg",
    "landscape",
    "layer_flow",
    "loss_surface",
    "palette",
    "picture",
    "range_test",
    "rates",
    "save",
    "standings",
    "surface",
    "sweep_values",
]
