"""Any function, from a start to a stop.

minimize        by an optimizer or by a method of `gdjax.search`: one door, and a loop for each kind of method
                (descent, ask_and_tell) over one problem; what comes back is a `Minimum`
gradient_flow   infinitesimal steps
implicit        the derivative of a solution          stationary    what kind of point it is
"""

from gdjax.solve._gradient_flow import gradient_flow as gradient_flow
from gdjax.solve._minimize import minimize as minimize
from gdjax.solve.minimum import Minimum as Minimum
