"""Linear models: one formula, x w + b, five ways to read it.

    model                 y                   read as                     loss in `gdjax.losses`
    linear_regression     (...) or (..., k)   the prediction itself       squared_error
    logistic_regression   (...)               log odds of class 1         binary_cross_entropy_from_logits
    softmax_regression    (..., C)            logits of C classes         softmax_cross_entropy_with_integer_labels
    linear_svm            (...)               score, its sign the class   hinge, with l2 on w
    perceptron            (...)               score, its sign the class   perceptron

All five objectives are convex, so the parameters start at zero. Where y is one number per example its shape
is (...), as that of the labels, though w (in, 1) is a matrix like all weights.
"""

from __future__ import annotations

from gdjax.calls import model
from gdjax.models.initializers import zeros
from gdjax.models.layers import affine, check_size


@model(static=("in_size", "out_size"))
def linear_regression(in_size: int, out_size: int | None = None):
    """A straight line, a plane, a hyperplane.

        y = x w + b         x (..., in) -> y (...);   params {"w": (in, 1), "b": (1,)}

    Loss: `squared_error`. Its minimum solves the normal equations, a bias being one more weight, of a feature
    that is always 1.

    Args:
        in_size: features of x, at least 1.
        out_size: None for one number per example; k, at least 1, for y (..., k), w (in, k), b (k,).

    Raises: ValueError if a size is not a positive int, or x has another width.

    >>> print(gd.models.linear_regression(2).apply({"w": jnp.ones((2, 1)), "b": jnp.ones(1)}, jnp.array([2.0, 3.0])))
    6.0
    """
    return affine("linear_regression", in_size, out_size, zeros())


@model(static=("in_size",))
def logistic_regression(in_size: int):
    """The log odds of one class against another, linear in x.

        y = x w + b         x (..., in) -> y (...), a logit;   params {"w": (in, 1), "b": (1,)}

    Probability of class 1: sigmoid(y). Prediction: class 1 where y > 0. Loss:
    `binary_cross_entropy_from_logits`, of y itself and labels in {0, 1}.

    Args:
        in_size: features of x, at least 1.

    Raises: ValueError if in_size is not a positive int, or x has another width.

    >>> print(gd.models.logistic_regression(2).apply({"w": jnp.ones((2, 1)), "b": jnp.ones(1)}, jnp.array([2.0, 3.0])))
    6.0
    """
    return affine("logistic_regression", in_size, None, zeros())


@model(static=("in_size", "num_classes"))
def softmax_regression(in_size: int, num_classes: int):
    """Logistic regression for several classes: a linear score for each.

        y = x w + b         x (..., in) -> y (..., C), logits;   params {"w": (in, C), "b": (C,)}

    Probabilities: softmax(y). Prediction: the class of the largest y. Loss:
    `softmax_cross_entropy_with_integer_labels`, of y itself and labels in [0, C).

    Args:
        in_size: features of x, at least 1.
        num_classes: C, at least 1.

    Raises: ValueError if a size is not a positive int, or x has another width.

    >>> print(gd.models.softmax_regression(2, 3).apply({"w": jnp.ones((2, 3)), "b": jnp.arange(3.0)}, jnp.array([2.0, 3.0])))
    [5. 6. 7.]
    """
    check_size("softmax_regression", "num_classes", num_classes)
    return affine("softmax_regression", in_size, num_classes, zeros())


@model(static=("in_size",))
def linear_svm(in_size: int):
    """The linear support vector machine: a score whose margin is made wide.

        y = x w + b         x (..., in) -> y (...), a score;   params {"w": (in, 1), "b": (1,)}

    Prediction: sign(y), in {-1, +1}. Loss: `hinge`, max(0, 1 - label y), and the penalty `l2(strength)` on w.
    The lectures' C/n sum hinge + |w|²/2 has the same minimum where strength = 1/(2C).

    Args:
        in_size: features of x, at least 1.

    Raises: ValueError if in_size is not a positive int, or x has another width.
    Reference: Cortes & Vapnik 1995.

    >>> print(gd.models.linear_svm(2).apply({"w": jnp.ones((2, 1)), "b": jnp.ones(1)}, jnp.array([2.0, 3.0])))
    6.0
    """
    return affine("linear_svm", in_size, None, zeros())


@model(static=("in_size",))
def perceptron(in_size: int):
    """The perceptron: a score that is corrected only where its sign is wrong.

        y = x w + b         x (..., in) -> y (...), a score;   params {"w": (in, 1), "b": (1,)}

    Prediction: sign(y), in {-1, +1}. Loss: `perceptron`, max(0, -label y); descent on it at rate 1, one
    example at a time, is Rosenblatt's rule.

    Args:
        in_size: features of x, at least 1.

    Raises: ValueError if in_size is not a positive int, or x has another width.
    Reference: Rosenblatt 1958.

    >>> print(gd.models.perceptron(2).apply({"w": jnp.ones((2, 1)), "b": jnp.ones(1)}, jnp.array([2.0, 3.0])))
    6.0
    """
    return affine("perceptron", in_size, None, zeros())
