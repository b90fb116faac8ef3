"""Environments: JAX ones inside the compiled program, host ones outside it."""

from proximax.envs.base import HostEnv, JaxEnv, auto_reset, env_seeds
from proximax.envs.jaxenvs import from_gymnax
from proximax.envs.make import EnvLike, env_name, imports_package, make_env, remakable, split_id

__all__ = [
    "EnvLike",
    "HostEnv",
    "JaxEnv",
    "auto_reset",
    "env_name",
    "env_seeds",
    "from_gymnax",
    "imports_package",
    "make_env",
    "remakable",
    "split_id",
]
