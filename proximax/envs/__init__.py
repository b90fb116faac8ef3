"""Every kind of environment as a ``JaxEnv`` (inside the compiled program) or a ``HostEnv`` (outside it).

Read ``base`` (the two forms), ``make`` (from an id to an environment), ``ids``, then the sources: ``gymnasium_env``,
``envpool_env``, ``gymnax_env``, ``probe``, ``atari``; ``workers`` (several processes), ``env_groups`` (double
buffering), ``env_state`` (saving and restoring), ``env_checker``, ``crash_recovery``, ``rendering``.
"""

from proximax.envs.atari.games import Game, ale_id, atari_id
from proximax.envs.base import HostEnv, JaxEnv, auto_reset, env_seeds
from proximax.envs.env_checker import ignores_seed
from proximax.envs.env_groups import Group, groups_of
from proximax.envs.envpool_env import EnvPoolEnv
from proximax.envs.gymnax_env import from_gymnax
from proximax.envs.ids import imports_package
from proximax.envs.make import EnvLike, env_name, env_of, make_env, pictured, remakable, restart_notes, stepping
from proximax.envs.workers.vector_env import kill_all

__all__ = [
    "EnvLike",
    "EnvPoolEnv",
    "Game",
    "Group",
    "HostEnv",
    "JaxEnv",
    "ale_id",
    "atari_id",
    "auto_reset",
    "env_name",
    "env_of",
    "env_seeds",
    "from_gymnax",
    "groups_of",
    "ignores_seed",
    "imports_package",
    "kill_all",
    "make_env",
    "pictured",
    "remakable",
    "restart_notes",
    "stepping",
]
