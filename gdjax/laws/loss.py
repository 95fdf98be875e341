"""The laws of losses, checked by `check_loss`."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gdjax.forms import Form
from gdjax.laws.check import Case, Laws, Needs, Report, run

LAWS = Laws()


@dataclasses.dataclass
class _Trial:
    loss: Callable[..., Any]
    form: Form
    params: Any
    batch: Any
    rows: int
    key: jax.Array | None

    def result(self, params: Any, batch: Any, **mask: Any) -> Any:
        """The result of the loss, called according to its signature."""
        return self.form.call("check_loss", self.loss, params, batch, self.key, **mask)

    def value(self, params: Any, batch: Any, **mask: Any) -> Any:
        """The value of the loss, without metrics."""
        found = self.result(params, batch, **mask)
        return found[0] if isinstance(found, tuple) else found

    def total(self, params: Any, batch: Any, **mask: Any) -> Any:
        return jnp.sum(self.value(params, batch, **mask))

    @property
    def by_row(self) -> bool:
        """Whether it returns a value for each row, as a loss of predictions and labels does."""
        return jnp.shape(jax.eval_shape(self.value, self.params, self.batch)) == (self.rows,)

    def take(self, rows: Any) -> tuple[Any, Any]:
        """(params, batch) restricted to some rows; predictions are restricted like labels."""
        params = jax.tree.map(lambda x: x[rows], self.params) if self.by_row else self.params
        return params, jax.tree.map(lambda x: x[rows], self.batch)


def check_loss(
    loss: Callable[..., Any],
    params: Any,
    batch: Any,
    *,
    key: jax.Array | None = None,
    exceptions: Mapping[str, str] | None = None,
    only: Collection[str] | None = None,
    all: bool = False,
) -> Report:
    """Test the laws of losses on a loss, with given parameters and batch.

    Args:
        loss: (params, batch) or (params, batch, key) -> a scalar, or (scalar, dict of metrics), in any form that `fit`
            takes; or (predictions, labels) -> a value for each row.
        params: a tree with floating leaves; or predictions, rows first.
        batch: a tree whose leaves share their first axis, of at least 2 rows.
        key: key for a loss that takes one (default: `jax.random.key(0)` if it is required, else none).
        exceptions, only, all: as in `check_optimizer`.

    Raises: LawBroken.

    >>> from gdjax import laws
    >>> bool(laws.check_loss(gd.squared_error, jnp.arange(3.0), jnp.ones(3)))
    True
    """
    exceptions, form = exceptions or {}, Form.of("check_loss", loss)
    if key is None and form.key and inspect.signature(loss).parameters[form.key].default is inspect.Parameter.empty:
        key = jax.random.key(0)
    params, batch = jax.tree.map(jnp.asarray, (params, batch))
    sizes = {jnp.shape(x)[:1] for x in jax.tree.leaves(batch)}
    if len(sizes) != 1 or min(sizes) < (2,):
        raise ValueError(f"check_loss: leaves of batch must share a first axis of at least 2 rows, got {sizes}")
    ((rows,),) = sizes

    def trials() -> Iterator[tuple[str, _Trial]]:
        whole = _Trial(loss, form, params, batch, rows, key)
        for n in sorted({min(n, rows) for n in (2, 3, 5, rows)}):
            if n == rows:
                yield f"all {rows} rows", whole
                continue
            try:
                fewer = whole.take(slice(n))
            except Exception:  # an error is reported by the laws that use all rows
                continue
            yield f"the first {n} rows", _Trial(loss, form, *fewer, n, key)

    name = getattr(loss, "__qualname__", None) or repr(loss)
    return run(LAWS.pick(only, exceptions), name, trials, exceptions, all)


@LAWS.law("value", "It gives a real scalar, or (scalar, dict of metrics); or one real value for each row.")
def _value(trial: _Trial) -> None:
    # Copies, that `pure` may see a change.
    found = trial.result(*jax.tree.map(lambda x: x, (trial.params, trial.batch)))
    value, metrics = found if isinstance(found, tuple) else (found, {})
    shape, dtype = jnp.shape(value), jnp.result_type(value)
    assert isinstance(metrics, dict), f"metrics {metrics!r}"
    assert shape in ((), (trial.rows,)), f"a value of shape {shape}"
    assert jnp.issubdtype(dtype, jnp.floating), f"a value of {dtype}"


@LAWS.law("pure", "The same arguments, including the key, give the same value, and are not changed.")
def _pure(trial: _Trial) -> None:
    before = jax.tree.leaves_with_path((trial.params, trial.batch))
    once, again = (trial.result(trial.params, trial.batch) for _ in range(2))
    chex.assert_trees_all_equal(once, again)
    after = jax.tree.leaves_with_path((trial.params, trial.batch))
    assert [path for path, _ in before] == [path for path, _ in after], "its arguments have other leaves afterwards"
    changed = [jax.tree_util.keystr(p) for (p, x), (_, y) in zip(before, after, strict=True) if x is not y]
    assert not changed, f"it changes its arguments at {', '.join(changed)}"


@LAWS.law("eager", "Compilation does not change the results, and value and gradient are finite.")
def _eager(trial: _Trial) -> None:
    def both(params: Any, batch: Any) -> Any:
        grads = jax.grad(trial.total, allow_int=True)(params, batch)
        return trial.value(params, batch), [g for g in jax.tree.leaves(grads) if g.dtype != jax.dtypes.float0]

    value, grads = jax.jit(both)(trial.params, trial.batch)
    np.testing.assert_allclose(value, trial.value(trial.params, trial.batch), rtol=1e-4, atol=1e-5)
    chex.assert_tree_all_finite((value, grads))


@LAWS.law("gradient", "Along a direction its gradient equals the central difference.")
def _gradient(trial: _Trial) -> None:
    with jax.enable_x64(True):
        params, batch = jax.tree.map(_wide, (trial.params, trial.batch))
        rng = np.random.default_rng(2)
        direction = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype) if _real(x) else x, params)

        def at(height: Any) -> jax.Array:
            nearby = jax.tree.map(lambda x, d: x + height * d if _real(x) else x, params, direction)
            return trial.total(nearby, batch)

        value_and_slope = jax.jit(jax.value_and_grad(at))
        slope = value_and_slope(0.0)[1]
        narrow = jax.eval_shape(at, 0.0).dtype != jnp.float64  # it rounds by itself
        h, rtol = (1e-2, 0.05) if narrow else (1e-6, 1e-5)
        high, low = (float(value_and_slope(x)[0]) for x in (h, -h))
        scale = (abs(high) + abs(low)) * (1e-6 if narrow else 1e-14) / h
        np.testing.assert_allclose(slope, (high - low) / (2 * h), rtol=rtol, atol=10 * scale, err_msg="the slope")


def _real(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _wide(x: Any) -> Any:
    return jnp.asarray(np.asarray(x, np.float64)) if _real(x) else x


def _needs_no_key(trial: _Trial) -> None:
    if trial.key is not None:
        raise Needs("a loss without a key, whose rows draw nothing")


@LAWS.law("rows", "The value of a batch is the mean of those of its rows; a loss by rows gives each row its own.")
def _rows(trial: _Trial) -> None:
    _needs_no_key(trial)
    whole = trial.value(trial.params, trial.batch)
    compiled = jax.jit(trial.value)
    alone = [compiled(*trial.take(slice(i, i + 1))) for i in range(trial.rows)]
    expected = jnp.concatenate(alone) if trial.by_row else jnp.mean(jnp.stack(alone))
    np.testing.assert_allclose(whole, expected, rtol=1e-4, atol=1e-5)


@LAWS.law("order", "The order of the rows does not matter.")
def _order(trial: _Trial) -> None:
    _needs_no_key(trial)
    backward = np.arange(trial.rows)[::-1].copy()
    value = trial.value(*trial.take(backward))
    expected = trial.value(trial.params, trial.batch)
    np.testing.assert_allclose(value, expected[backward] if trial.by_row else expected, rtol=1e-4, atol=1e-5)


@LAWS.law("mask", "A row that is masked has no influence on value or gradient, not even if it holds NaN.")
def _mask(trial: _Trial) -> None:
    if not trial.form.takes_mask:
        raise Needs("a loss that takes mask=")
    mask = np.arange(trial.rows) < trial.rows - 1
    fewer = jax.tree.map(lambda x: x[:-1], trial.batch)
    poisoned = jax.tree.map(lambda x: x.at[-1].set(jnp.nan) if _real(x) else x, trial.batch)
    total = jax.jit(jax.value_and_grad(lambda params, batch, mask: trial.total(params, batch, mask=mask)))
    found, expected = total(trial.params, poisoned, mask), total(trial.params, fewer, mask[:-1])
    try:
        chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5)
    except AssertionError as error:
        raise Case("the last row masked, and NaN, against the rows before it", error) from error
