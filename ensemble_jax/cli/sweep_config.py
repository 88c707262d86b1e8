"""The config of a sweep: a training, and the fields that take several values."""

# No `from __future__ import annotations`: command line overrides read the fields' types.
import ast
import dataclasses
import enum
import itertools
import types
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from ensemble_jax.cli.train_config import NOT_OF_THE_RUN, PER_MEMBER, TrainConfig
from ensemble_jax.sweeping import group_settings

# Fields that say how a run is measured and computed, and not what is trained.
_FIXED = ("members", "num_members", "extents", "protocol", "plan", *NOT_OF_THE_RUN)


class Combination(enum.Enum):
    """How the values of several fields make settings."""

    GRID = "grid"
    LIST = "list"


@dataclasses.dataclass
class SweepConfig(TrainConfig):
    """A training for each of several settings.

    Attributes:
        vary: the values of each field that varies, by its name. In a config file a dict; on the
            command line --vary=NAME=VALUE,VALUE,... once for each field.
        combination: grid trains every combination of the values, list the first value of each
            field together, then the second, and so on.
    """

    vary: dict = dataclasses.field(default_factory=dict)
    combination: Combination = Combination.GRID

    def validate(self) -> None:
        """Check every setting as that of a training.

        Raises:
            ValueError: naming the field, its value and what is allowed.
        """
        super().validate()
        if not self.vary:
            raise ValueError(
                "vary must name at least one field with its values, such as "
                "--vary=learning_rate=0.01,0.05"
            )
        allowed = [
            field.name for field in dataclasses.fields(TrainConfig) if field.name not in _FIXED
        ]
        for name, values in self.vary.items():
            if name not in allowed:
                raise ValueError(f"vary must be of {', '.join(allowed)}, got {name!r}")
            if not isinstance(values, Sequence) or isinstance(values, str) or not values:
                raise ValueError(f"vary: {name} must have a list of values, got {values!r}")
            if len({repr(value) for value in values}) < len(values):
                raise ValueError(f"vary: the values of {name} must differ, got {list(values)}")
        lengths = {name: len(values) for name, values in self.vary.items()}
        if self.combination is Combination.LIST and len(set(lengths.values())) > 1:
            raise ValueError(
                f"vary: with combination list all fields need as many values, got {lengths}"
            )
        for setting in self.settings:
            try:
                self.with_values(setting).validate()
            except ValueError as error:
                raise ValueError(f"vary: {error}") from error

    @property
    def settings(self) -> list[dict[str, Any]]:
        """The values of the fields that vary, a dict for each setting."""
        combine = itertools.product if self.combination is Combination.GRID else zip
        return [
            dict(zip(self.vary, values, strict=True)) for values in combine(*self.vary.values())
        ]

    def with_values(self, values: Mapping[str, Any]) -> TrainConfig:
        """The training of one setting."""
        shared = {
            field.name: getattr(self, field.name) for field in dataclasses.fields(TrainConfig)
        }
        return TrainConfig(**shared | dict(values))


def parse_vary(text: str) -> tuple[str, list[Any]]:
    """Read `NAME=VALUE,VALUE,...` into the field's name and values of its type.

    >>> parse_vary("learning_rate=0.01,1")
    ('learning_rate', [0.01, 1.0])

    Raises:
        ValueError: if there is no such field, or a value is not of its type.
    """
    name, equals, values = text.partition("=")
    kinds = {field.name: field.type for field in dataclasses.fields(TrainConfig)}
    if not equals or name not in kinds:
        raise ValueError(
            f"--vary must be NAME=VALUE,VALUE,... with one of the names {', '.join(kinds)}, "
            f"got {text!r}"
        )
    return name, [_read(name, kinds[name], value.strip()) for value in values.split(",")]


def _read(name: str, kind: Any, text: str) -> Any:
    """A value of a field, as the command line has it."""
    if isinstance(kind, types.UnionType):  # X | None
        return None if text == "none" else _read(name, get_args(kind)[0], text)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        known = {member.value: member for member in kind}
        if text not in known:
            raise ValueError(f"vary: {name} must be one of {', '.join(known)}, got {text!r}")
        return known[text]
    if kind is str:
        return text
    if get_origin(kind) is tuple:
        return (text,)
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    # A whole number will do for a float; a truth value is no number.
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"vary: {name} must be of type {kind.__name__}, got {text!r}")
    return value


def groups(config: SweepConfig) -> dict[str, list[int]]:
    """The positions of the settings that one compiled step can train, by a name of the group.

    Settings belong together unless they differ in a field that changes shapes, programs or data; a
    group is named by its values of these fields.

    >>> config = SweepConfig(vary={"batch_size": [50, 100], "learning_rate": [0.1, 0.2]})
    >>> groups(config)
    {'batch_size=50': [0, 1], 'batch_size=100': [2, 3]}
    """
    shaping = []
    for setting in config.settings:
        draws_data = config.with_values(setting).draws_data
        shaping.append(
            {
                name: value
                for name, value in setting.items()
                if name not in PER_MEMBER or (name == "seed" and draws_data)
            }
        )
    return group_settings(shaping)
