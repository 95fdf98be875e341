"""A training step, evaluated again equation by equation, to find where its first non-finite value was born."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from gdjax import tree
from gdjax.backprop.birth import Birth, equation_text, in_words
from gdjax.backprop.compiled import PARTIAL, first_compiled
from gdjax.backprop.origins import Event, Origins, not_finite
from gdjax.backprop.places import Place, place_of
from gdjax.backprop.walk import Path
from gdjax.data import as_rows, num_rows
from gdjax.jaxprs import equations_for, inner_jaxprs, is_literal, open_jaxpr
from gdjax.optimizers.wrappers.skip_non_finite import SkipState
from gdjax.programs import compile_once, retrace
from gdjax.text import listing
from gdjax.types import Batch, Metrics, Params, TrainState

GRADIENT = "gradient of the step"  # a metric that is added to those of the step


class Outcome(NamedTuple):
    """A leaf of what a step makes that is not finite."""

    phase: str
    leaf: str
    place: int  # among the leaves of (state, metrics)
    entries: np.ndarray  # where it is not finite, and was finite before the step


def replay(
    step: Callable[..., Any],
    state: TrainState,
    batch: Batch,
    mask: jax.Array | None = None,
    after: tuple[TrainState, Metrics] | None = None,
) -> Birth | None:
    """Where the first non-finite value of a training step was born; None if the step is finite.

    The compiled step says whether it goes wrong: the loss, its gradient, the update or what they make of the state. Then its
    jaxpr is evaluated equation by equation. A value is born NaN where no input is NaN, and infinite where no input is
    infinite. Of all births the first one is told from which non-finite values lead to the outcome; those that are thrown
    away on the way (behind a `where`, by a maximum with -inf) are not. What is not finite in batch, parameters or state
    before the step is found in the same way, and told first. An update that `skip_non_finite` skips is explained as if it
    were made.

    Args:
        step: a step of `make_step`, or any (state, batch, mask) -> (state, metrics) with a metric "loss".
        state: the TrainState before the step.
        batch, mask: its batch, and the mask of the rows that exist if the step had one.
        after: what the step made in the program of the run (default: the step alone, compiled). Another program rounds in
            another way.

    Memory: all intermediate values of the step that are still needed, of arrays on several devices on the first of them, and
    on the host while they are looked at.

    >>> step = gd.make_step(lambda w, rows: jnp.mean(jnp.log(w * rows)))
    >>> birth = gd.backprop.replay(step, gd.make_state(1.0, gd.sgd(0.1)), jnp.array([2.0, -3.0, 1.0]))
    >>> print(birth.phase, birth.operation, birth.values, birth.rows, birth.leaves)
    forward log (-3.0,) (1,) ('loss',)
    """
    batch = as_rows("replay", batch)
    bare = _without_skipping(state)
    birth = _replay(step, (bare, batch) if mask is None else (bare, batch, mask), after if bare is state else None)
    return birth if birth is None else dataclasses.replace(birth, skipped=bare is not state)


def _without_skipping(state: TrainState) -> TrainState:
    """The state from which the step makes an update that `skip_non_finite` would skip."""
    while isinstance(state.opt_state, SkipState):
        state = state._replace(optimizer=state.optimizer.inner, opt_state=state.opt_state.inner)
    return state


def _on_one_device(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments without a mesh, so that each operation can be evaluated by itself."""
    device = next(iter(jnp.asarray(args[0].step).devices()))
    return jax.device_put(args, SingleDeviceSharding(device))


def _replay(step: Any, args: tuple[Any, ...], after: tuple[TrainState, Metrics] | None) -> Birth | None:
    compiled = outcomes(args[0], compile_once(step)(*args) if after is None else after)
    computation = _Computation(step, _on_one_device(args))
    alone = computation.outcomes()
    if not compiled and (_loss_of(alone) or not any(each.phase == "backward" for each in alone)):
        return None
    only_compiled = not alone or (_loss_of(compiled) and not _loss_of(alone))
    leaves = tuple(dict.fromkeys(each.leaf for each in (compiled if only_compiled else [*alone, *compiled])))
    if only_compiled:
        return computation.only_compiled(compiled[0].phase, leaves)
    return computation.birth(alone, leaves)


def _loss_of(found: list[Outcome]) -> bool:
    return any(each.leaf == "loss" for each in found)


def outcomes(before: TrainState, after: tuple[TrainState, Metrics]) -> list[Outcome]:
    """What is not finite after a step and was before it, in the order in which a step computes it.

    Metrics other than the loss do not count.
    """
    state, metrics = after
    named = jax.tree_util.tree_leaves_with_path((state, metrics))
    places = jax.tree.unflatten(jax.tree.structure((state, metrics)), range(len(named)))
    parts = (
        ("forward", "loss", metrics["loss"], places[1]["loss"], None),
        ("forward", "model_state", state.model_state, places[0].model_state, before.model_state),
        ("backward", "gradient", metrics.get(GRADIENT, ()), places[1].get(GRADIENT, ()), None),
        ("update", "params", state.params, places[0].params, before.params),
        ("update", "opt_state", state.opt_state, places[0].opt_state, before.opt_state),
    )
    found = []
    for phase, name, part, own_places, old in parts:
        olds = [None] * len(jax.tree.leaves(part)) if old is None else jax.tree.leaves(old)
        leaves = jax.tree_util.tree_leaves_with_path(part)
        for (path, leaf), place, was in zip(leaves, jax.tree.leaves(own_places), olds, strict=True):
            wrong = not_finite(leaf)
            if wrong is not None and name == "opt_state":  # which may hold inf as the best value so far
                was_wrong = not_finite(was)
                wrong = wrong if was_wrong is None else wrong & ~was_wrong
            if wrong is not None and wrong.any():
                found.append(Outcome(phase, tree.leaf_name(name, path), place, wrong))
    return found


class _Computation:
    """The jaxpr of a step with its inputs, evaluated equation by equation."""

    def __init__(self, step: Any, args: tuple[Any, ...]):
        self.step, self.args = step, args
        self.jaxpr, shapes = _trace(_with_gradient(step), args)
        self.origins = Origins()
        self.results = self.origins.walk(
            self.jaxpr, [self.origins.input(x, name, axis) for name, x, axis in self._inputs()]
        )
        self.after = jax.tree.unflatten(jax.tree.structure(shapes), [x.value for x in self.results])

    @property
    def state(self) -> TrainState:
        return self.args[0]

    def outcomes(self) -> list[Outcome]:
        return outcomes(self.state, self.after)

    def _inputs(self) -> list[tuple[str, Any, int | None]]:
        """The leaves of the inputs: path, value, axis of rows."""
        parts = (("", self.state, None), ("batch", self.args[1], 0), ("mask", self.args[2:], 0))
        return [
            (tree.leaf_name(name, path).removeprefix("."), leaf, axis)
            for name, part, axis in parts
            for path, leaf in jax.tree_util.tree_leaves_with_path(part)
        ]

    def birth(self, found: list[Outcome], leaves: tuple[str, ...]) -> Birth:
        phase = found[0].phase
        first = [each for each in found if each.phase == phase]
        numbers = {int(n) for each in first for n in np.unique(self.results[each.place].origin[each.entries])} - {0}
        histories = [self.origins.history(number) for number in numbers]
        history = min(histories, key=lambda events: [event.number for event in events])
        event = next((each for each in history if each.source != "constant"), history[0])
        rest, facts = history[history.index(event) + 1 :], {}
        if phase == "backward" and event.source == "equation":
            discarded, derivative_of = self._beside(event)
            rest = rest if discarded in (None, event) else [event, *rest]
            facts = {"discarded": discarded is not None, "derivative_of": derivative_of}
            event = discarded or event
        common = {"step": int(self.state.batches), "kind": event.kind, "leaves": leaves}
        if event.source == "input":
            return Birth(
                phase="input", operation="", where=None, values=(), rows=event.rows, source=event.leaf, **common
            )
        of_constant = history[0].source == "constant" and event is not history[0]
        return Birth(
            phase=phase,
            operation=_operation(event),
            where=_place(event.path),
            values=event.values,
            rows=self._some(event.rows) if event.rows is not None else self._rows_alone(phase),
            primitive="" if event.source == "constant" else event.equation.primitive.name,
            **facts,
            loops=_loops(event.path),
            constant=f"{history[0].kind}, at {_place(history[0].path)}" if of_constant else "",
            then=_told(rest),
            **common,
        )

    def _beside(self, event: Event) -> tuple[Event | None, str]:
        """What the forward pass has to do with a birth by which only the gradient is not finite.

        Either a birth of the same numbers in the forward pass, which is thrown away before it reaches the loss, or in words
        the operation in whose derivative the birth is.
        """
        loss = jax.tree.unflatten(jax.tree.structure(self.after), range(len(self.results)))[1]["loss"]
        forward = equations_for(self.jaxpr, [i == loss for i in range(len(self.results))])
        if id(event.equation) in forward:
            return event, ""
        inputs = _variables(event.equation.invars)
        for each in self.origins.events:
            if id(each.equation) in forward and each.source == "equation" and each.path[:-1] == event.path[:-1]:
                shared = inputs & {*_variables(each.equation.invars), *each.equation.outvars}
                if shared:
                    return each, ""
        return None, _source_of_derivative(self.jaxpr, event, forward)

    def _some(self, rows: Any) -> tuple[int, ...] | None:
        """Row numbers as they are told: none if they are all."""
        return None if len(rows) in (0, num_rows(self.args[1])) else tuple(map(int, rows))

    def only_compiled(self, phase: str, leaves: tuple[str, ...]) -> Birth:
        """The first operation whose value is not finite in a compiled program, and is if evaluated by itself."""
        common = {
            "step": int(self.state.batches),
            "phase": phase,
            "leaves": leaves,
            "values": (),
            "only_compiled": True,
        }
        known = {id(event.equation) for event in self.origins.events}
        found = first_compiled(self.jaxpr, [(x, axis) for _, x, axis in self._inputs()], known)
        if found is None:
            return Birth(kind="nan", operation="", where=None, rows=None, **common)
        name = found.path[-1][0].primitive.name
        rows = None if found.rows is None else self._some(found.rows)
        return Birth(
            kind=found.kind, operation=in_words(name), primitive=name, where=_place(found.path), rows=rows, **common
        )

    def _rows_alone(self, phase: str) -> tuple[int, ...] | None:
        """The rows that alone make this phase of the step not finite; None if that is no matter of single rows."""
        state, batch = self.args[:2]
        step = _with_gradient(self.step)
        if hasattr(step, "microbatches"):
            step = dataclasses.replace(step, microbatches=1)

        def goes_wrong(row: Any) -> jax.Array:
            after, metrics = step(state, jax.tree.map(lambda x: x[None], row))
            parts = {"forward": metrics["loss"], "backward": metrics.get(GRADIENT), "update": after.params}
            leaves = [x for x in jax.tree.leaves(parts[phase]) if jnp.issubdtype(x.dtype, jnp.inexact)]
            return ~jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves])) if leaves else jnp.array(False)

        try:
            wrong = np.asarray(jax.jit(lambda rows: jax.lax.map(goes_wrong, rows))(batch))
        except (TypeError, ValueError):  # a step that cannot take one row
            return None
        exist = np.asarray(self.args[2]) != 0 if len(self.args) > 2 else np.ones(len(wrong), bool)
        return None if wrong[exist].all() else self._some(np.flatnonzero(wrong & exist))


def _with_gradient(step: Any) -> Any:
    """The step, which reports its gradient too if it can have probes."""
    return dataclasses.replace(step, probes=(*step.probes, _gradient)) if hasattr(step, "probes") else step


def _gradient(state: TrainState, objective: Any, grads: Params, updates: Params, mask: Any = None) -> Metrics:
    return {GRADIENT: grads}


def _trace(step: Any, args: tuple[Any, ...]) -> tuple[Any, Any]:
    """The jaxpr of a step, and the shapes of its results."""
    return jax.make_jaxpr(retrace(step), return_shape=True)(*args)


def _place(path: Path) -> Place | None:
    return place_of(path, _trace)


def _operation(event: Event) -> str:
    if event.source == "constant":
        return "constant"
    return in_words(event.equation.primitive.name)


def _told(events: list[Event]) -> str:
    """Births, one after the other."""
    made = [equation_text(event.equation.primitive.name, event.values, event.kind) for event in events]
    return listing([f"{text}, at {_place(event.path)}" for text, event in zip(made, events, strict=True)])


def _loops(path: Path) -> tuple[tuple[str, int], ...]:
    return tuple(("while loop" if e.primitive.name == "while" else "scan", i) for e, i in path if i is not None)


def _source_of_derivative(jaxpr: Any, event: Event, forward: set[int]) -> str:
    """In words, the operation of the forward pass in whose derivative an event is; "" if none is seen."""
    around = inner_jaxprs(event.path[-2][0].params) if len(event.path) > 1 else [jaxpr]
    equations = [e for each in around for e in open_jaxpr(each)[0].eqns]
    place, inputs = _place(event.path), _variables(event.equation.invars)
    beside = [e for e in equations if id(e) in forward and _place((*event.path[:-1], (e, None))) == place]
    makers = [e for e in beside if inputs & set(e.outvars)]
    sharers = [e for e in beside if inputs & _variables(e.invars)]
    names = [e.primitive.name for e in (*makers, *sharers) if e.primitive.name in PARTIAL]
    return in_words(names[0]) if names else ""


def _variables(atoms: Any) -> set[Any]:
    return {v for v in atoms if not is_literal(v)}
