"""Environments: JAX ones inside the compiled program, host ones outside it."""

from proximax.envs.atari import Game, ale_id, atari_id
from proximax.envs.base import HostEnv, JaxEnv, auto_reset, env_seeds
from proximax.envs.jaxenvs import from_gymnax
from proximax.envs.make import EnvLike, env_name, env_of, imports_package, make_env, remakable, split_id
from proximax.envs.pictured import Pictured, pictured

__all__ = [
    "EnvLike",
    "Game",
    "HostEnv",
    "JaxEnv",
    "Pictured",
    "ale_id",
    "atari_id",
    "auto_reset",
    "env_name",
    "env_of",
    "env_seeds",
    "from_gymnax",
    "imports_package",
    "make_env",
    "pictured",
    "remakable",
    "split_id",
]
