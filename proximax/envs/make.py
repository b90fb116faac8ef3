"""From what a user names (an id, a vector environment, a callable, a JAX environment) to an environment."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator
from gymnasium.vector import VectorEnv

from proximax.config import COUNT, Autoreset, Rule, RunConfig, choice_problem, range_problem, refuse, shown
from proximax.envs.atari.games import Game
from proximax.envs.atari.make import make_atari
from proximax.envs.atari.rendering import RenderedAtariEnv
from proximax.envs.base import HostEnv, JaxEnv
from proximax.envs.brax_env import make_brax, make_playground
from proximax.envs.changed_observations import change_observations
from proximax.envs.crash_recovery import RESTARTS_NOT_SUPPORTED, RestartBudget
from proximax.envs.env_checker import construct, long_episode_notes
from proximax.envs.env_groups import NOT_DOUBLE_BUFFERED, EnvGroups, ShardedEnvs, make_double_buffered, vectorise
from proximax.envs.envpool_env import EnvPoolEnv
from proximax.envs.gymnasium_env import GymnasiumEnv
from proximax.envs.gymnax_env import gymnax_ids, make_gymnax
from proximax.envs.ids import OBJECT, EnvId
from proximax.envs.jax_env_checker import check_jax_env
from proximax.envs.probe import PROBES
from proximax.envs.registry import check_known, find_spec, missing_dependency
from proximax.envs.rendering import CANNOT_RENDER, RenderedEnv, RenderedGymnasiumEnv
from proximax.envs.time_limit import TIMEOUT_SECONDS, CallLimit
from proximax.errors import ENV_ERRORS, DependencyError, UsageError
from proximax.runtime import disable_async_dispatch, usable_cores

EnvLike = str | Game | VectorEnv[Any, Any, Any] | Callable[[], gymnasium.Env[Any, Any]] | JaxEnv | HostEnv


def make_env(
    env: EnvLike,
    num_envs: int = 8,
    *,
    groups: int = 1,
    env_groups: int = 1,
    autoreset: Autoreset = "auto",
    num_envs_if_native_vector: int | None = None,
    env_restarts: int = 0,
    env_restarted: int = 0,
    env_timeout: float = TIMEOUT_SECONDS,
    env_kwargs: Mapping[str, Any] | None = None,
    hide_velocities: bool = False,
    show_previous: bool = False,
) -> JaxEnv | HostEnv:
    """An environment proximax can train on.

    ``env``: an id with its source (``gymnasium:``, ``envpool:``, ``gymnax:``, ``brax:``, ``playground:``, ``probe:``;
    none means Gymnasium, and ``package:Env-v0`` imports ``package`` first), an Atari ``Game`` with its preprocessing,
    a Gymnasium ``VectorEnv`` (as it is: ``num_envs`` is its own), a callable that makes one Gymnasium environment, or a
    ``JaxEnv`` or ``HostEnv``. Host environments come as ``groups x num_envs`` environments, where those of one group
    share nothing with another's.
    ``groups``: how many groups, one for each seed of a run.
    ``env_groups``: every group's environments in so many parts that step at different times
    (``env_groups.DoubleBufferedEnvs``).
    ``num_envs_if_native_vector``: replaces ``num_envs`` where the environment has its own vector version, whose copies
    cost next to nothing.
    ``env_restarted``: how many of the restarts have been made before.
    ``env_kwargs``: arguments for the constructor of an environment that is given by its id.
    ``env_restarts``, ``env_timeout``, ``hide_velocities``, ``show_previous``: as in ``RunConfig``.
    """
    counts = {"num_envs": num_envs, "groups": groups, "env_groups": env_groups}
    refuse(
        [
            *(range_problem(name, count, COUNT) for name, count in counts.items()),
            range_problem("num_envs_if_native_vector", num_envs_if_native_vector, Rule(1, integer=True, optional=True)),
            choice_problem("autoreset", autoreset, Autoreset),
            range_problem("env_restarts", env_restarts, Rule(0, integer=True)),
            range_problem("env_timeout", env_timeout, Rule(0, open_low=True)),
        ]
    )
    restarts = RestartBudget(int(env_restarts), env_restarted)
    sizes = int(num_envs), int(groups), int(env_groups)
    if env_kwargs:
        check_takes_arguments(env)
    created = _create(
        EnvSource(env, dict(env_kwargs or {})), sizes, autoreset, num_envs_if_native_vector, (restarts, env_timeout)
    )
    if env_restarts and not restarts.supported and not isinstance(created, JaxEnv):
        created.notes = [*created.notes, RESTARTS_NOT_SUPPORTED]
    return change_observations(created, env_id_of(env).name, hide_velocities, show_previous)


def make_env_shards(env: EnvLike, num_envs: int, shards: range, all_shards: int, **options: Any) -> JaxEnv | HostEnv:
    """``make_env`` of the environments of some of all shards, among which ``num_envs`` are divided.

    Those of a shard share nothing with another's, so that they do not depend on which process has which shard.
    """
    if all_shards == 1:
        return make_env(env, num_envs, **options)
    if not can_recreate(env):
        raise UsageError(
            f"shards = {all_shards}: each has environments of its own; give an id or a callable that makes one "
            "environment, no object"
        )
    first = make_env(env, num_envs // all_shards, **options)
    if isinstance(first, JaxEnv):
        return first
    others = [make_env(env, num_envs // all_shards, **options) for _ in shards[1:]]
    return ShardedEnvs([first, *(other for other in others if not isinstance(other, JaxEnv))], options["groups"])


class EnvSource(NamedTuple):
    """What a user named, and arguments for its constructor."""

    env: EnvLike
    kwargs: dict[str, Any]


def _create(
    source: EnvSource,
    sizes: tuple[int, int, int],  # num_envs, groups, env_groups
    autoreset: Autoreset,
    num_envs_if_native_vector: int | None,
    crashes: tuple[RestartBudget, float],  # and the timeout
) -> JaxEnv | HostEnv:
    env, kwargs = source
    env_groups = sizes[2]
    if env_groups > 1 and not can_recreate(env):
        raise UsageError(f"env_groups = {env_groups}: an environment object is one group; give an id or a callable")
    if isinstance(env, JaxEnv):
        check_jax_env(env)
        return env
    env_id = env_id_of(env)
    if not env_id.is_compiled:
        disable_async_dispatch()
    if isinstance(env, VectorEnv):
        return GymnasiumEnv(env, autoreset, timeout=crashes[1])
    if isinstance(env, Game) or (isinstance(env, str) and env_id.is_atari):
        return make_atari(env if isinstance(env, Game) else Game(env), *sizes)
    if isinstance(env, str):
        match env_id.source:
            case "gymnasium":
                return _make_gymnasium(env_id.name, kwargs, sizes, autoreset, num_envs_if_native_vector, crashes)
            case "envpool":
                return _make_envpool(env_id.name, kwargs, *sizes)
            case "object":
                raise UsageError(f"{env_id} was a Python object, which its description does not re-create: pass env=")
            case _:
                return _make_compiled(env_id, kwargs)
    return vectorise(env, *sizes, *crashes) if callable(env) else env


def _make_compiled(env_id: EnvId, kwargs: dict[str, Any]) -> JaxEnv:
    """A JAX environment of a library, or a probe."""
    match env_id.source:
        case "gymnax":
            check_known(env_id.name, gymnax_ids() or [env_id.name], "gymnax")
            return make_gymnax(env_id.name, kwargs)
        case "brax":
            return make_brax(env_id.name, kwargs)
        case "playground":
            return make_playground(env_id.name, kwargs)
    check_known(env_id.name, list(PROBES), "probe")
    if kwargs:
        raise UsageError(f"env_kwargs: {env_id} takes no arguments")
    return PROBES[env_id.name]()


def can_recreate(env: EnvLike) -> bool:
    """Whether a second, independent environment can be made from what the user gave."""
    return isinstance(env, (str, Game, JaxEnv)) or (callable(env) and not isinstance(env, VectorEnv))


def env_options(config: RunConfig) -> dict[str, Any]:
    """How a run's host environments are stepped, as ``make_env`` takes it."""
    return {
        "autoreset": config.autoreset,
        "env_restarts": config.env_restarts,
        "env_timeout": config.env_timeout,
        **single_env_options(config),
    }


def single_env_options(config: RunConfig) -> dict[str, Any]:
    """How each of a run's environments is made and what it shows, as ``make_rendered_env`` takes it."""
    return {
        "env_kwargs": config.env_kwargs,
        "hide_velocities": config.hide_velocities,
        "show_previous": config.show_previous,
    }


def check_takes_arguments(env: EnvLike) -> None:
    """Refuse ``env_kwargs`` for what has no id, and for an Atari game, whose settings are those of ``AtariConfig``."""
    env_id = env_id_of(env)
    if isinstance(env, Game) or env_id.is_atari:
        raise UsageError(f"env_kwargs: {env_id} is an Atari game; its settings are those of AtariConfig (--atari.)")
    if not isinstance(env, str):
        raise UsageError(
            "env_kwargs: only for an environment given by its id; a callable passes its own arguments, "
            "as in lambda: MyEnv(size=3)"
        )


def restart_notes(restarts: int) -> list[str]:
    """What a run's result says about environments that crashed."""
    return [f"env_restarts: {restarts} restarts of environments that crashed"] if restarts else []


def env_id_of(env: EnvLike) -> EnvId:
    """The id of what the user gave; of an object, source ``object`` and a description."""
    if isinstance(env, (str, Game)):
        return EnvId.parse(env if isinstance(env, str) else env.id)
    check_env_object(env)
    spec = getattr(env, "spec", None)
    if isinstance(env, VectorEnv) and spec is not None:
        return EnvId(OBJECT, spec.id)
    return EnvId(OBJECT, getattr(env, "__name__", type(env).__name__))


def check_env_object(env: object) -> None:
    """Refuse an object that is not an environment, or a single one where copies are needed."""
    if isinstance(env, gymnasium.Env):
        raise UsageError(
            f"env = {shown(env)}: is one environment, and each copy must be an object of its own. Give a callable that "
            "makes it, as in lambda: gymnasium.make(...), or its id"
        )
    is_host = all(hasattr(env, name) for name in ("num_envs", "reset", "send", "receive", "action_space"))
    if not (isinstance(env, (VectorEnv, JaxEnv)) or callable(env) or is_host):
        raise UsageError(
            f"env = {shown(env)}: must be an id (CartPole-v1), a callable that makes a Gymnasium environment, a "
            "VectorEnv, a JaxEnv or a HostEnv"
        )


def env_name(env: EnvLike) -> str:
    """What a run's files call this environment: ``source:name``."""
    return str(env_id_of(env))


def env_from_config(config: RunConfig, env: EnvLike | None = None) -> EnvLike:
    """What a run is trained on: ``env`` where it is an object, else what ``config`` names."""
    if env is not None and not isinstance(env, (str, Game)):
        return env
    return config.env if config.atari is None else Game(config.env, config.atari)


def _make_gymnasium(
    name: str,
    kwargs: dict[str, Any],
    sizes: tuple[int, int, int],
    autoreset: Autoreset,
    num_envs_if_native_vector: int | None,
    crashes: tuple[RestartBudget, float],
) -> HostEnv:
    spec = find_spec(name)
    num_envs, groups, env_groups = sizes
    try:
        if spec.entry_point is not None and not _has_own_vector_version(spec):
            make_one = partial(gymnasium.make, spec, **kwargs)  # without code of proximax, for the worker processes
            return vectorise(make_one, *sizes, *crashes)
        size = num_envs_if_native_vector or num_envs
        make, limit = partial(gymnasium.make_vec, name, size, **kwargs), CallLimit(crashes[1])
        parts = [GymnasiumEnv(construct(make, limit), autoreset, timeout=crashes[1]) for _ in range(groups)]
    except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        raise missing_dependency(name, error) from error
    env = parts[0] if groups == 1 else EnvGroups(parts)
    env.notes = [*env.notes, *long_episode_notes(spec.max_episode_steps)]
    if env_groups > 1:
        env.notes = [*env.notes, NOT_DOUBLE_BUFFERED]
    return env


def _has_own_vector_version(spec: EnvSpec) -> bool:
    """Whether ``make_vec`` would use the environment's own vector version, and it follows Gymnasium's >= 1.0 rules."""
    if spec.vector_entry_point is None or spec.additional_wrappers:
        return False
    try:
        cls = load_env_creator(spec.vector_entry_point) if isinstance(spec.vector_entry_point, str) else None
    except ENV_ERRORS:  # creating it says what is wrong
        return False
    return "autoreset_mode" in (getattr(cls, "metadata", None) or {})


def _make_envpool(name: str, kwargs: dict[str, Any], num_envs: int, groups: int, env_groups: int) -> HostEnv:
    try:
        import envpool
    except ImportError as error:
        raise DependencyError(f'envpool:{name} needs {error.name}: pip install "proximax[envpool]"') from error
    check_known(name, envpool.list_all_envs(), "EnvPool")
    try:
        envpool.make_spec(name, **kwargs)
    except TypeError as error:
        raise UsageError(f"env_kwargs of envpool:{name}: {error}") from error

    def pool(size: int) -> HostEnv:
        # A core for each of its threads, where it has one for every core, as in ``workers.pin``. HalfCheetah, 8 copies
        # on 2 cores: 18 k steps/s free, 20 k so. EnvPool counts the machine's cores, not those this process may use.
        offset = 0 if size >= len(usable_cores()) == os.cpu_count() else -1
        settings = {"env_type": "gymnasium", "num_envs": size, "thread_affinity_offset": offset} | kwargs
        make = partial(envpool.make, name, **settings)
        return EnvPoolEnv(make, size)

    return make_double_buffered(pool, num_envs, groups, env_groups)


def make_rendered_env(
    env: EnvLike,
    env_kwargs: Mapping[str, Any] | None = None,
    *,
    hide_velocities: bool = False,
    show_previous: bool = False,
) -> RenderedEnv:
    """One environment to watch: an Atari game (by ALE), a Gymnasium id, or a callable that makes a Gymnasium one."""
    rendered = _create_rendered(env, env_kwargs)
    changed = change_observations(rendered.env, env_id_of(env).name, hide_velocities, show_previous)
    if not isinstance(changed, JaxEnv):
        rendered.use_env(changed)
    return rendered


def _create_rendered(env: EnvLike, env_kwargs: Mapping[str, Any] | None) -> RenderedEnv:
    kwargs = dict(env_kwargs or {})
    if kwargs:
        check_takes_arguments(env)
    disable_async_dispatch()
    env_id = env_id_of(env)
    if isinstance(env, Game) or (isinstance(env, str) and env_id.is_atari):
        return RenderedAtariEnv(env if isinstance(env, Game) else Game(env))
    if not isinstance(env, str):
        if isinstance(env, (VectorEnv, JaxEnv)) or not callable(env):
            raise UsageError(
                f"{env_id} {CANNOT_RENDER}. Give an id, or a callable that makes one Gymnasium environment"
            )
        return RenderedGymnasiumEnv(env, str(env_id))
    if env_id.is_compiled or env_id.is_object:
        raise UsageError(f"{env} {CANNOT_RENDER}. Gymnasium's environments and Atari games can be")
    name = env_id.name
    if env_id.source == "envpool" and name not in gymnasium.registry:
        raise UsageError(f"{env} {CANNOT_RENDER}, and Gymnasium has no {name} to play instead")
    kwargs = {} if env_id.source == "envpool" else kwargs  # EnvPool's names for them are its own
    spec = find_spec(name)
    if spec.entry_point is None:
        raise UsageError(
            f"{env} {CANNOT_RENDER}: it is registered as a vector environment only, without an entry_point"
        )
    make = partial(gymnasium.make, spec, **{"render_mode": "rgb_array", **kwargs})
    return RenderedGymnasiumEnv(make, name)
