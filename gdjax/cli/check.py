"""`gdjax check`: a gradient compared with differences of the loss."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from types import ModuleType
from typing import Any

import tyro

from gdjax.backprop import check_gradients
from gdjax.cli.errors import UserError, one_line, option_mistakes, user_mistakes
from gdjax.cli.objects import load_module, load_object, object_of, own_mistakes


@dataclasses.dataclass(frozen=True)
class Check:
    """Compare the gradient of your own loss with differences of its values; exit code 1 if it is wrong or undecided.

    `gdjax check FILE.py:loss` takes the parameters from `params` of the same file, and further arguments of the loss by
    their names; each may be a value, or a function without arguments that returns it. Arguments with a default keep it.
    """

    loss: tyro.conf.Positional[str]
    """module:function or FILE.py:function, (params, ...) -> a number, or a pair whose first is one."""
    directions: int = 4
    """Random directions through all parameters."""
    entries: int = 4
    """Single entries of each leaf."""
    seed: int = 0
    """Of the directions."""

    def run(self, argv: list[str]) -> int:
        for name in ("directions", "entries"):
            if getattr(self, name) < 0:
                raise UserError(f"--{name} must be at least 0, got {getattr(self, name)}")
        if self.directions == self.entries == 0:
            raise UserError("one of --directions and --entries must be above 0, or nothing is checked")
        with user_mistakes():
            origin, _, name = self.loss.rpartition(":")
            if not origin or not name:
                load_object(self.loss)
            module = load_module(origin)
            loss = object_of(module, origin, name)
            if not callable(loss):
                raise UserError(f"{self.loss} must be a function, got {loss!r}")
            args, kwargs = self._arguments(loss, module, origin)
        with option_mistakes({"directions", "entries"}):
            found = self._check(loss, args, kwargs)
        print(found)
        return 0 if found.passed else 1

    def _check(self, loss: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
        function = functools.partial(loss, **kwargs) if kwargs else loss
        with own_mistakes(self.loss, loss):
            return check_gradients(function, *args, directions=self.directions, entries=self.entries, key=self.seed)

    def _arguments(self, loss: Any, module: ModuleType, origin: str) -> tuple[list[Any], dict[str, Any]]:
        """Values for the arguments without default: the first is `params`, any other is found by its name."""
        args: list[Any] = []
        kwargs: dict[str, Any] = {}
        for parameter in inspect.signature(loss).parameters.values():
            named_only = parameter.kind is parameter.KEYWORD_ONLY
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            if parameter.default is not parameter.empty and (args or named_only):
                continue
            name = parameter.name if args or named_only else "params"
            try:
                value = object_of(module, origin, name)
            except ValueError as error:
                raise UserError(f"{self.loss} needs {name!r} of the same file: {one_line(error)}") from error
            value = value() if inspect.isfunction(value) else value
            if named_only:
                kwargs[parameter.name] = value
            else:
                args.append(value)
        if not args:
            raise UserError(
                f"{self.loss} must take the parameters as its first argument, got {inspect.signature(loss)}"
            )
        return args, kwargs
