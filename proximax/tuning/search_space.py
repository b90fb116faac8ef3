"""What a search tries: a range or a list of values for each setting that a compiled program takes as data.

    learning_rate = {low = 1e-4, high = 1e-2, scale = "log"}
    gamma = {low = 0.95, high = 0.999, scale = "log-complement"}
    entropy_coef = {choices = [0.0, 0.001, 0.01]}

Scales: ``linear``; ``log``: the logarithm is uniform; ``log-complement``: that of 1 - x, for what is close to 1.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from proximax.config import (
    NUMBERS,
    PPOConfig,
    Rule,
    RunConfig,
    check_names,
    choice_problem,
    current_names,
    range_problem,
    read_settings_file,
    refuse,
    shown,
)
from proximax.errors import UsageError

Scale = Literal["linear", "log", "log-complement"]
SEARCHABLE = ("learning_rate", "beta", *NUMBERS)  # settings that are data of the program
MANY = 1000  # choices that a setting may have at most


class Parameter(NamedTuple):
    """The values of one setting: from ``low`` to ``high``, or one of ``choices``."""

    low: float = 0.0
    high: float = 0.0
    scale: Scale = "linear"
    choices: tuple[float, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return f"one of {', '.join(f'{x:g}' for x in self.choices)}"
        words = {"linear": "", "log": ", logarithmic", "log-complement": ", 1 - x logarithmic"}
        return f"{self.low:g} to {self.high:g}{words[self.scale]}"

    @property
    def ends(self) -> tuple[float, ...]:
        """Values between which all others are."""
        return (min(self.choices), max(self.choices)) if self.choices else (self.low, self.high)

    def to_json(self) -> dict[str, Any]:
        """As it stands in a file."""
        if self.choices:
            return {"choices": list(self.choices)}
        return {"low": self.low, "high": self.high, "scale": self.scale}


Space = dict[str, Parameter]
_RATE = {"learning_rate": Parameter(1e-4, 5e-3, "log")}
_RETURNS = {
    "gamma": Parameter(0.95, 0.999, "log-complement"),
    "lam": Parameter(0.8, 0.99, "log-complement"),
}
_JOINT = {  # where actor and critic take one step together
    "entropy_coef": Parameter(0.0, 0.02),
    "value_coef": Parameter(0.25, 1.0),
}
_OF_ALGORITHM = {
    "clip": {**_JOINT, "epsilon": Parameter(0.1, 0.4)},
    "spo": {**_JOINT, "epsilon": Parameter(0.1, 0.4)},
    "penalty": {**_JOINT, "target_kl": Parameter(3e-3, 3e-2, "log")},
    "surrogate": _JOINT,
    "a2c": _JOINT,
    "npg": {"max_kl": Parameter(3e-3, 3e-2, "log")},
    "trpo": {"max_kl": Parameter(3e-3, 3e-2, "log")},
}


def default_space(config: RunConfig) -> Space:
    """What is searched without a file: the settings that matter most and that the algorithm reads."""
    space = _RATE | _RETURNS | _OF_ALGORITHM.get(config.algo, {})
    if config.ppo.max_grad_norm is not None:
        space["max_grad_norm"] = Parameter(0.3, 3.0, "log")
    return space


def search_space(given: str | Path | Mapping[str, Any] | None, config: RunConfig) -> Space:
    """The space in a file or a dict, every end of it tried against the settings' ranges. Raises ``UsageError``."""
    if given is None:
        space, where = default_space(config), "the default space"
    elif isinstance(given, (str, Path)):
        space, where = read_space(read_settings_file(given), str(given)), str(given)
    elif isinstance(given, Mapping):
        space, where = read_space(given, "space"), "space"
    else:
        raise UsageError(f"space = {shown(given)}: must be a TOML or JSON file, a dict, or None")
    check_space(space, where, config)
    return space


def read_space(values: Mapping[str, Any], where: str) -> Space:
    """The parameters that a file or dict says; ``where``: its name, for messages."""
    if not values:
        raise UsageError(f"{where}: names no setting to search; {', '.join(SEARCHABLE)} can be")
    values = current_names(dict(values))
    try:
        check_names(values, PPOConfig, RunConfig)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    if structure := [name for name in values if name not in SEARCHABLE]:
        raise UsageError(
            f"{where}: {', '.join(structure)} is structure, by which programs differ, and trials side by side share "
            f"one program: give it as a flag, and search once for each value. What can be searched: "
            f"{', '.join(SEARCHABLE)}"
        )
    return {name: read_parameter(name, value, where) for name, value in values.items()}


def read_parameter(name: str, value: Any, where: str) -> Parameter:
    """One setting's values."""
    form = "write {low = ..., high = ..., scale = ...} or {choices = [...]}"
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: {name} = {shown(value)}: {form}")
    if unknown := set(value) - {"low", "high", "scale", "choices"}:
        raise UsageError(f"{where}: {name} has {', '.join(sorted(map(str, unknown)))}: {form}")
    number = Rule(-float("inf"))
    if "choices" in value:
        choices = value["choices"]
        listed = isinstance(choices, (list, tuple)) and 0 < len(choices) <= MANY
        if not listed or len(value) > 1 or not all(map(number.allows, choices)):
            raise UsageError(f"{where}: {name}.choices = {shown(choices)}: must be a list of numbers, and stand alone")
        return Parameter(choices=tuple(map(float, choices)))
    if missing := [end for end in ("low", "high") if end not in value]:
        raise UsageError(f"{where}: {name} has no {missing[0]}: {form}")
    scale = value.get("scale", "linear")
    problems = [range_problem(f"{name}.{end}", value[end], number) for end in ("low", "high")]
    problems.append(choice_problem(f"{name}.scale", scale, Scale))
    if any(problems):
        refuse([f"{where}: {problem}" for problem in problems if problem])
    return Parameter(float(value["low"]), float(value["high"]), scale)


def check_space(space: Space, where: str, config: RunConfig) -> None:
    """Refuse ranges that are none, and values that a setting may not have."""
    for name, parameter in space.items():
        low, high = parameter.ends
        if not parameter.choices and not low < high:
            raise UsageError(f"{where}: {name}: low = {low:g} must be less than high = {high:g}")
        if parameter.scale == "log" and low <= 0:
            raise UsageError(f"{where}: {name}: low = {low:g} must be > 0 on a logarithmic scale")
        if parameter.scale == "log-complement" and high >= 1:
            raise UsageError(f"{where}: {name}: high = {high:g} must be < 1 where 1 - x is on a logarithmic scale")
    for end in (0, 1):
        try:
            with_settings(config, {name: parameter.ends[end] for name, parameter in space.items()}).check()
        except UsageError as error:
            raise UsageError(f"{where}: {error}") from error


def with_settings(config: RunConfig, settings: Mapping[str, Any]) -> RunConfig:
    """``config`` with the settings of a trial."""
    return replace(config, ppo=replace(config.ppo, **settings))


def describe_space(space: Space) -> str:
    """The space as it is printed: a line for each setting."""
    width = max(map(len, space))
    return "\n".join(f"  {name.ljust(width)}  {parameter}" for name, parameter in space.items())
