"""A name of Optax's means Optax's call: the rooms of losses, schedules and projections are walked beside Optax's own."""

import inspect

import optax
import optax.losses
import optax.projections
import optax.schedules
import pytest

import gdjax as gd

ROOMS = "losses", "schedules", "projections"
ELSEWHERE = {  # public functions of Optax's rooms that ours lack, and why
    "inject_hyperparams": "makes an optimizer of a factory: it stands with the optimizers",
    "inject_stateful_hyperparams": "makes an optimizer of a factory: it stands with the optimizers",
}
OTHERWISE: dict[str, str] = {}  # names whose arguments differ, and why


def functions_of(room):
    module = getattr(optax, room)
    return {name: f for name, f in vars(module).items() if inspect.isfunction(f) and not name.startswith("_")}


SHARED = [(room, name) for room in ROOMS for name in functions_of(room) if name not in ELSEWHERE]


def arguments_of(function):
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


def test_no_name_is_missing_without_a_reason():
    missing = {n for room in ROOMS for n in functions_of(room) if not hasattr(getattr(gd, room), n)}
    assert missing == set(ELSEWHERE)
    assert {room: len(functions_of(room)) for room in ROOMS} == {"losses": 32, "schedules": 16, "projections": 12}


@pytest.mark.parametrize(("room", "name"), SHARED)
def test_a_shared_name_begins_with_the_same_arguments(room, name):
    theirs = arguments_of(getattr(getattr(optax, room), name))
    ours = arguments_of(getattr(getattr(gd, room), name))
    assert (ours[: len(theirs)] == theirs) == (name not in OTHERWISE)
    if name not in OTHERWISE:
        assert all(default is not inspect.Parameter.empty for _, _, default in ours[len(theirs) :])


def test_what_optax_has_at_its_top_is_at_ours():
    top = {(room, n) for room in ROOMS for n, f in functions_of(room).items() if vars(optax).get(n) is f}
    assert len(top) == 35
    for room, name in top:
        if name not in ELSEWHERE:
            assert getattr(gd, name) is getattr(getattr(gd, room), name), name
