"""Call nodes: a call that is a value.

`adam(1e-3, b1=0.95)` does not hide its numbers in a closure. It is a *node*: a pytree whose leaves are the numbers of the
call and whose structure is everything else (the factory's name, flags, functions, dtypes). Therefore a jitted function takes
an optimizer as an argument and a new learning rate compiles nothing; `vmap` over a stacked optimizer is a sweep; `grad` with
respect to an optimizer is a hypergradient; a node prints as its call, and is pickled and compared like it.

There are four kinds of node, each made by the decorator of its name: `Optimizer` (init, update), `Schedule` (step -> value),
`Condition` (init, update) and `Model` (init, apply); `register` and `decorator` make more, such as initializers. The
decorated function is the *body*: it receives the arguments and returns plain functions. It runs at every use of the node,
so it must be cheap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np

from gdjax.calls.leaves import Precise, Static, as_key, same
from gdjax.calls.mistakes import unknown
from gdjax.calls.spec import render_arguments

if TYPE_CHECKING:
    from gdjax.calls.factory import Recipe

N = TypeVar("N", bound="Node")


class Node:
    """A call as a value; see the module's docstring. Its arguments are attributes; `arguments` is the dict of all."""

    takes_schedules: ClassVar[bool] = False  # whether a schedule can stand for a number among the arguments
    recipe: Recipe
    _children: dict[str, Any]

    @classmethod
    def _make(cls: type[N], recipe: Recipe, children: dict[str, Any]) -> N:
        node = cls.__new__(cls)
        node.recipe, node._children = recipe, children
        return node

    def __getattr__(self, name: str) -> Any:
        """The argument with this name."""
        children = self.__dict__.get("_children", {})
        if name not in children:
            who = getattr(self.__dict__.get("recipe"), "name", type(self).__name__)
            raise AttributeError(f"{who} has no argument {name!r}", name=name, obj=self)
        return _show(children[name])

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._children]

    @property
    def arguments(self) -> dict[str, Any]:
        return {name: _show(child) for name, child in self._children.items()}

    def build(self) -> Any:
        """Call the body: the plain functions for these arguments."""
        return self.recipe.call(self.arguments)

    def replace(self: N, **arguments: Any) -> N:
        """The same call with some arguments changed; they are checked as in a new call."""
        for name in arguments:
            if name not in self._children:
                raise TypeError(unknown(self.recipe.name, name, self._children))
        return cast(N, self.recipe.make({**self.arguments, **arguments}))

    def canonicalize(self: N, on_host: bool = False) -> N:
        """The node with its numbers as arrays, whose dtypes follow from the signature and not from the Python types.

        So `adam(1)`, `adam(1.0)` and `adam(np.float64(1))` run in one compiled program. Arrays are copied, so that the node
        may be donated. With `on_host` they are NumPy where they can be, and not copied, which takes a tenth of the time and
        is enough for arguments of a compiled program. Functions are compared by their
        present value: a function that is defined again equals the old one, unless something that it reads has changed.
        """

        def canonicalize_child(name: str, child: Any) -> Any:
            def canonicalize_leaf(x: Any) -> Any:
                if isinstance(x, Node):
                    return x.canonicalize(on_host)
                if isinstance(x, Static):
                    return x.canonicalize()
                dtype = self.recipe.dtype(name)
                if dtype is None:
                    return as_key(x) if on_host else jnp.array(as_key(x), copy=True)
                return np.asarray(x, dtype) if on_host and not isinstance(x, jax.Array) else jnp.array(x, dtype=dtype)

            if isinstance(child, (int, float, Node, Static)):  # the usual case: a tree map takes ten times as long
                return canonicalize_leaf(child)
            return jax.tree.map(canonicalize_leaf, child, is_leaf=lambda x: isinstance(x, (Node, Static)))

        return self._make(
            self.recipe.canonicalize(),
            {name: canonicalize_child(name, child) for name, child in self._children.items()},
        )

    def walk(self) -> Iterator[Node]:
        """This node and all nodes among its arguments, outermost first."""
        yield self
        for child in self._children.values():
            for inner in jax.tree.leaves(child, is_leaf=lambda x: isinstance(x, Node)):
                if isinstance(inner, Node):
                    yield from inner.walk()

    def __repr__(self) -> str:
        return f"{self.recipe.name}({', '.join(render_arguments(self.recipe.signature, self.arguments))})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        mine, my_tree = jax.tree.flatten(self)
        theirs, their_tree = jax.tree.flatten(other)
        return my_tree == their_tree and all(same(a, b) for a, b in zip(mine, theirs, strict=True))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(jax.tree.structure(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._make, (self.recipe, self._children)


def register(kind: type[Node]) -> None:
    """Make a kind of node a pytree, with paths such as `.inner.learning_rate`."""

    def flatten_with_keys(node: Node):
        keyed = tuple((jax.tree_util.GetAttrKey(name), child) for name, child in node._children.items())
        return keyed, (node.recipe, tuple(node._children))

    def flatten(node: Node):
        return tuple(node._children.values()), (node.recipe, tuple(node._children))

    def unflatten(aux, children):
        recipe, names = aux
        return kind._make(recipe, dict(zip(names, children, strict=True)))

    jax.tree_util.register_pytree_with_keys(kind, flatten_with_keys, unflatten, flatten)


def _show(child: Any) -> Any:
    """The inverse of `Recipe.hide`."""

    def show_leaf(x: Any) -> Any:
        return x.value if isinstance(x, Static) else x.join() if isinstance(x, Precise) else x

    if child is None or isinstance(child, (int, float, Node)):  # the usual case: a tree map takes ten times as long
        return child
    if isinstance(child, Static):
        return child.value
    return jax.tree.map(show_leaf, child, is_leaf=lambda x: isinstance(x, (Node, Static, Precise)))
