"""Minimization of any function.

minimize        by an optimizer or by a method of `gdjax.search`, each kind with its own loop (descent, ask_and_tell);
                returns a `Minimum`
fit_curve       the parameters of a formula, fitted to columns by least squares; returns a `CurveFit`
gradient_flow   steepest descent in continuous time
implicit        the derivative of a solution          stationary    the kind of a stationary point
"""

from gdjax.solve._gradient_flow import gradient_flow as gradient_flow
from gdjax.solve._minimize import minimize as minimize
from gdjax.solve.curve import fit_curve as fit_curve
from gdjax.solve.curve_fit import CurveFit as CurveFit
from gdjax.solve.minimum import Minimum as Minimum
