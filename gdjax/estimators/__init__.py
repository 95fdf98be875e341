"""scikit-learn's interface to gdjax: five estimators that train by its descents, and pass all of scikit-learn's checks.

    LinearRegression, Ridge            least squares by Gauss-Newton, or any optimizer, whole or in batches
    LogisticRegression                 Newton's method, or any optimizer; hinge and perceptron are losses of it
    MLPClassifier, MLPRegressor        a multilayer perceptron, in batches; `partial_fit` goes on where it ended

Penalties are those of scikit-learn (`alpha`, `C`), and so are the coefficients. What differs is what can be said:
`optimizer=` and `schedule=` take any value of gdjax or Optax, `early_stopping` stops on the validation loss. Numbers are
shifted and scaled in float64 on the host, and coefficients are in the units of the table.

They clone, pickle, and work in pipelines and searches. gdjax itself imports neither this package nor scikit-learn (the
extra `gdjax[lab]`).
"""

try:
    import sklearn as sklearn
except ImportError as _error:
    raise ImportError("gdjax.estimators: scikit-learn is needed; pip install 'gdjax[lab]'", name="sklearn") from _error

from gdjax.estimators.least_squares import LinearRegression, Ridge
from gdjax.estimators.linear_classifier import LogisticRegression
from gdjax.estimators.networks import MLPClassifier, MLPRegressor

__all__ = ["LinearRegression", "LogisticRegression", "MLPClassifier", "MLPRegressor", "Ridge"]
