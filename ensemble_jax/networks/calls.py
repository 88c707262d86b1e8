"""How modules want to be told whether they are trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

# What an argument of this name is in training; it is the opposite in evaluation.
_MODES = {"train": True, "training": True, "is_training": True, "deterministic": False}


class CallStyle(NamedTuple):
    """The arguments of a module's `__call__` that say whether it is trained.

    Attributes:
        second: the one that comes right after the inputs, if it may be given by position, which
            transformed modules (`nn.remat` with `static_argnums`) need.
        keywords: the others.
    """

    second: str | None
    keywords: tuple[str, ...]

    def call(self, function: Callable, *leading: Any, train: bool, **options: Any) -> Any:
        """`function(*leading, ...)` with these arguments and further options."""
        second = () if self.second is None else (_MODES[self.second] == train,)
        return function(
            *leading, *second, **{name: _MODES[name] == train for name in self.keywords}, **options
        )


def call_style(module: Any) -> CallStyle:
    """How a module, linen or nnx, wants to be called.

    Raises:
        ValueError: naming module and argument, if `__call__` takes no inputs, or requires what is
            neither inputs nor one of the arguments `train`, `training`, `is_training` and
            `deterministic`.
    """
    name = type(module).__name__
    if not callable(module):
        raise ValueError(f"module {name} must have a method __call__")
    parameters = list(inspect.signature(module.__call__).parameters.values())
    if not parameters or parameters[0].kind in (
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.VAR_KEYWORD,
    ):
        raise ValueError(f"module {name} must take the inputs as first argument of __call__")
    others = parameters[1:]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in others:
        required = parameter.default is parameter.empty and parameter.kind not in variadic
        if required and parameter.name not in _MODES:
            raise ValueError(
                f"module {name} requires the argument {parameter.name} of __call__; allowed are "
                f"the inputs and {', '.join(_MODES)}"
            )
    modes = [parameter for parameter in others if parameter.name in _MODES]
    if modes and modes[0] is others[0] and modes[0].kind is not inspect.Parameter.KEYWORD_ONLY:
        return CallStyle(modes[0].name, tuple(mode.name for mode in modes[1:]))
    return CallStyle(None, tuple(mode.name for mode in modes))
