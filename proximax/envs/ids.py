"""The id of an environment: where it comes from, and what it is called there. Parsed once, printed once."""

import functools
import importlib
import importlib.util
import re
from typing import NamedTuple

SOURCES = ("gymnasium", "envpool", "gymnax", "brax", "playground", "probe")
COMPILED = ("gymnax", "brax", "playground", "probe")  # whose environments are JAX programs
OBJECT = "object"  # the source of an environment that is a Python object: only a description, nothing to look up


class EnvId(NamedTuple):
    """``gymnasium:CartPole-v1``, ``envpool:Pong-v5``, ``object:MyEnv``: a source, and a name there."""

    source: str
    name: str

    @classmethod
    def parse(cls, text: str) -> "EnvId":
        """``source:name``; without a known source the whole is a Gymnasium id."""
        source, colon, name = text.partition(":")
        return cls(source, name) if colon and source in (*SOURCES, OBJECT) else cls("gymnasium", text)

    def __str__(self) -> str:
        return f"{self.source}:{self.name}"

    @property
    def display(self) -> str:
        """As people write it: Gymnasium's ids without their source."""
        return self.name if self.source == "gymnasium" else str(self)

    @property
    def is_object(self) -> bool:
        """Whether it describes a Python object, which cannot be created from its id."""
        return self.source == OBJECT

    @property
    def is_compiled(self) -> bool:
        """Whether the environment is a JAX program."""
        return self.source in COMPILED

    @property
    def package(self) -> str | None:
        """The package that creating it imports: ``my_package`` of ``my_package:Env-v0``."""
        package, colon, _ = self.name.rpartition(":")
        return package if colon and self.source == "gymnasium" else None

    @property
    def is_atari(self) -> bool:
        """Whether it names an Atari game, of ALE or of EnvPool."""
        if self.source == "gymnasium":
            return re.fullmatch(r"ALE/\w+-v5", self.name) is not None
        return self.source == "envpool" and _is_envpool_game(self.name)

    @property
    def in_ale(self) -> "EnvId":
        """What ALE calls the Atari game that EnvPool calls so; any other id as it is."""
        return EnvId("gymnasium", f"ALE/{self.name}") if self.source == "envpool" and self.is_atari else self


def _is_envpool_game(name: str) -> bool:
    """Whether EnvPool has an Atari game of this name; without EnvPool, whether it could."""
    if re.fullmatch(r"\w+-v5", name) is None:
        return False
    if importlib.util.find_spec("envpool") is None:
        return True  # creating it reports what is missing
    return _has_lives(name)


@functools.cache  # EnvPool takes 0.1 s
def _has_lives(name: str) -> bool:
    """Whether EnvPool's environment has the settings of Atari games."""
    envpool = importlib.import_module("envpool")
    is_known = name in envpool.list_all_envs()
    return is_known and "zero_discount_on_life_loss" in envpool.make_spec(name).config._asdict()
