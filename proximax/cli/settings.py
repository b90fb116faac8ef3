"""The flags of a run's settings, made from ``RunConfig``: what was given comes as a dict of just those settings."""

import ast
import inspect
import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Any, Literal, TypedDict, get_args, get_origin

import tyro

from proximax.config import AlgorithmName, Annealed, AtariConfig, PPOConfig, RunConfig
from proximax.errors import UsageError

GROUPS = ("ppo", "atari")  # settings that are records themselves: --ppo.gamma
make_typed_dict: Any = TypedDict  # of fields that a type checker does not see


def descriptions(record: type) -> dict[str, str]:
    """The docstring below each field of a record, in one line."""
    (definition,) = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, below in pairwise(definition.body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            texts[field.target.id] = " ".join(str(ast.literal_eval(below.value)).replace("``", "`").split())
    return texts


def flags(record: type, without: tuple[str, ...] = (), types: Mapping[str, Any] | None = None) -> Any:
    """A ``TypedDict`` with the fields of ``record``, none of them required; ``types`` replaces the types of some."""
    texts, members = descriptions(record), dict[str, Any]()
    for field in fields(record):
        kind = (types or {}).get(field.name, field.type)
        kind = tyro.conf.FlagConversionOff[bool] if kind is bool else kind
        members[field.name] = Annotated[kind, tyro.conf.arg(help=texts[field.name])]
    kept = {name: member for name, member in members.items() if name not in without}
    return make_typed_dict(record.__name__, kept, total=False)


_ANNEAL = tuple[Literal["none", "both", *get_args(Annealed)], ...]  # type: ignore[valid-type, misc]
_TYPES = {
    "algo": AlgorithmName,
    "ppo": flags(PPOConfig, types={"anneal": _ANNEAL}),
    "atari": flags(AtariConfig),
}
RunSettings: Any = flags(RunConfig, without=("env", "env_kwargs"), types=_TYPES)
SharedSettings: Any = flags(
    RunConfig, without=("env", "env_kwargs", "algo"), types=_TYPES
)  # of all runs of a comparison
KWARGS_HELP = "--env-kwargs.NAME VALUE, with VALUE as in Python: 0.5, True, None, '[0.5, 0.5]'; other text is a string."
ENV_HELP = f"{descriptions(RunConfig)['env']} Its constructor's arguments: {KWARGS_HELP}"
ENV_KWARGS = "--env-kwargs."  # before the name of an argument of the environment's constructor

REGISTRY = tyro.constructors.ConstructorRegistry()  # how tyro reads a value from text


@REGISTRY.primitive_rule
def integer_rule(info: tyro.constructors.PrimitiveTypeInfo) -> tyro.constructors.PrimitiveConstructorSpec[int] | None:
    """Integers, also as 1e6."""
    if info.type is not int:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="INT",
        instance_from_str=lambda texts: integer(texts[0]),
        is_instance=lambda value: isinstance(value, int),
        str_from_instance=lambda value: [str(value)],
    )


@REGISTRY.primitive_rule
def optional_choice_rule(
    info: tyro.constructors.PrimitiveTypeInfo,
) -> tyro.constructors.PrimitiveConstructorSpec[str | None] | None:
    """One of several words, or no flag at all: an error lists the words as they are declared, and no None."""
    kinds = get_args(info.type)
    choices = [kind for kind in kinds if get_origin(kind) is Literal]
    if len(choices) != 1 or set(kinds) != {choices[0], type(None)}:
        return None
    words = get_args(choices[0])
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{{{','.join(words)}}}",
        instance_from_str=lambda texts: texts[0],
        is_instance=lambda value: value is None or value in words,
        str_from_instance=lambda value: [str(value)],
        choices=words,
    )


def integer(text: str) -> int:
    """An integer as Python writes it, or with an exponent: 1000000, 1_000_000, 1e6, 2.5e6. Raises ``ValueError``."""
    if re.fullmatch(r"[+-]?\d+(\.\d+)?[eE]\+?\d{1,2}", text) and (number := Decimal(text)) == int(number):
        return int(number)
    try:
        return int(text)
    except ValueError as error:
        raise ValueError(f"{text} is not an integer") from error


def overrides(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings that were given, as ``train`` takes them: all under their own names."""
    run_settings = {name: value for name, value in settings.items() if name not in GROUPS}
    return run_settings | settings.get("ppo", {}) | settings.get("atari", {})


def as_defaults(config: RunConfig) -> dict[str, Any]:
    """The settings of a config in the form of ``RunSettings``, to be shown in a command's help."""
    values = config.to_json() | {"atari": asdict(config.atari or AtariConfig())}
    return {name: value for name, value in values.items() if name not in ("env", "env_kwargs")}


def take_env_kwargs(arguments: list[str], single_env: bool = True) -> tuple[list[str], dict[str, Any]]:
    """(the other arguments, those of ``--env-kwargs.NAME VALUE``): values as in Python, any other text as a string.

    ``single_env``: the first of the other arguments, if it is not a flag, is the only one that belongs to none.
    """
    rest: list[str] = []
    env_kwargs: dict[str, Any] = {}
    remaining = deque(arguments)
    while remaining:
        argument = remaining.popleft()
        if not f"{argument}.".startswith(ENV_KWARGS):
            rest.append(argument)
            continue
        name, equals, value = argument[len(ENV_KWARGS) :].partition("=")
        text = value if equals else remaining.popleft() if remaining else None
        name = name.replace("-", "_")
        if text is None or text.startswith("--") or not name.isidentifier():
            raise UsageError(f"{argument}: write {ENV_KWARGS}NAME VALUE, as in {ENV_KWARGS}is_slippery False")
        if name in env_kwargs:
            raise UsageError(f"{ENV_KWARGS}{name}: given twice")
        env_kwargs[name] = python_value(text)
        refuse_more_values(name, text, remaining, single_env and bool(rest) and not rest[0].startswith("-"))
    return rest, env_kwargs


def refuse_more_values(name: str, text: str, following: Iterable[str], words_too: bool) -> None:
    """Say how a list is written where more values follow the one of an argument; ``words_too``: or words, not flags."""
    values = [text]
    for argument in following:
        is_word = isinstance(python_value(argument), str)
        if is_word and (argument.startswith("-") or not words_too):
            break
        values.append(argument)
    if len(values) > 1:
        items = ", ".join(json.dumps(x) if isinstance(x, str) else repr(x) for x in map(python_value, values))
        raise UsageError(f"{ENV_KWARGS}{name} {' '.join(values)}: write lists as {ENV_KWARGS}{name} '[{items}]'")


def python_value(text: str) -> Any:
    """A number, boolean, None, list, tuple or dict as Python writes it; anything else is a string."""
    try:
        return ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text, text))
    except (ValueError, SyntaxError):
        return text
