"""Every kind of environment as a ``JaxEnv`` (inside the compiled program) or a ``HostEnv`` (outside it).

Read ``base`` (the two forms), ``ids`` (``EnvId``), ``registry`` (looking ids up), ``make`` (from an id to an
environment), then the sources: ``gymnasium_env``, ``in_process``, ``envpool_env``, ``gymnax_env``, ``brax_env``,
``probe``, ``atari``; ``workers`` (several processes), ``env_groups`` (double buffering), ``env_state`` (saving and
restoring), ``env_checker``, ``jax_env_checker``, ``lazy_reset`` (of JAX environments), ``partial_observations`` and
``changed_observations`` (wrappers), ``time_limit`` (calls that hang), ``crash_recovery``, ``mujoco_warnings``,
``rendering``.
"""

from proximax.envs.atari.games import Game
from proximax.envs.base import HostEnv, JaxEnv, auto_reset, env_seeds
from proximax.envs.brax_env import from_brax
from proximax.envs.changed_observations import unchanged
from proximax.envs.env_checker import ignores_seed
from proximax.envs.env_groups import EnvGroups, Group, pipeline_groups
from proximax.envs.envpool_env import EnvPoolEnv
from proximax.envs.gymnax_env import from_gymnax
from proximax.envs.ids import EnvId
from proximax.envs.make import (
    EnvLike,
    can_recreate,
    env_from_config,
    env_id_of,
    env_name,
    env_options,
    make_env,
    make_env_shards,
    make_rendered_env,
    restart_notes,
    single_env_options,
)
from proximax.envs.partial_observations import hide_velocities, show_previous
from proximax.envs.workers.vector_env import kill_all

__all__ = [
    "EnvGroups",
    "EnvId",
    "EnvLike",
    "EnvPoolEnv",
    "Game",
    "Group",
    "HostEnv",
    "JaxEnv",
    "auto_reset",
    "can_recreate",
    "env_from_config",
    "env_id_of",
    "env_name",
    "env_options",
    "env_seeds",
    "from_brax",
    "from_gymnax",
    "hide_velocities",
    "ignores_seed",
    "kill_all",
    "make_env",
    "make_env_shards",
    "make_rendered_env",
    "pipeline_groups",
    "restart_notes",
    "show_previous",
    "single_env_options",
    "unchanged",
]
