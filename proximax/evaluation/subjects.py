"""What is evaluated or recorded, and on what: a run, an agent or a file, and the environment that belongs to it."""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proximax.config import RunConfig
from proximax.envs import EnvId, EnvLike, env_from_config, env_name, single_env_options
from proximax.errors import UsageError
from proximax.exporting import ExportedAgent
from proximax.networks import AnyNetwork
from proximax.policy import Agent
from proximax.runs import exported_config, load_file, policy_file

logger = logging.getLogger(__name__)

CONFIG_FILE = "the run's config.json"


def single_policy(run: str | Path | Agent, env: EnvLike | None, network: AnyNetwork | None = None) -> Agent | None:
    """The policy that is an ``Agent`` or in a file; None for a run directory.

    Refused without ``env``, unless it is an exported one that knows its environment.
    """
    if isinstance(run, Agent):
        agent = run
    elif (file := policy_file(run)) is not None:
        agent = load_file(file, network)
    else:
        return None
    if env is None and exported_config(agent) is None:
        source = "an Agent" if isinstance(run, Agent) else f"the policy in {run}"
        raise UsageError(f"{source} does not know its environment: pass env=... (--env ID)")
    return agent


def trained_seed(agent: Agent) -> int:
    """The seed that an exported policy was trained with, so that it starts where the run's own evaluation does."""
    seed = agent.about.get("seed", 0) if isinstance(agent, ExportedAgent) else 0
    return seed if isinstance(seed, int) and seed >= 0 else 0


def trained_env(
    agent: Agent, env: EnvLike | None, env_kwargs: Mapping[str, Any] | None, allow_import: bool
) -> tuple[EnvLike | None, dict[str, Any]]:
    """(``env``, how one of it is made); without one the environment that an exported policy was trained on."""
    config = exported_config(agent)
    if config is None:
        return env, {"env_kwargs": env_kwargs}
    options = single_env_options(config) | {"env_kwargs": merge_env_kwargs(config, env, env_kwargs)}
    return (named_env(config, allow_import, "the policy's file") if env is None else env), options


def seeds_of(config: RunConfig) -> tuple[int, ...]:
    """The seeds of a run."""
    return tuple(range(config.seed, config.seed + config.seeds))


def merge_env_kwargs(config: RunConfig, env: EnvLike | None, given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of the constructor: ``given``, over the run's own unless ``env`` is another environment."""
    same = env is None or (isinstance(env, str) and env_name(env) == str(EnvId.parse(config.env)))
    merged = {**(config.env_kwargs if same else {}), **(given or {})}
    if same and merged != config.env_kwargs:
        logger.info(f"env_kwargs: {merged}; the run was trained with {config.env_kwargs or 'none'}")
    return merged


def named_env(config: RunConfig, allow_import: bool, source: str = CONFIG_FILE) -> EnvLike:
    """The environment that ``source``, a file, names; refused where that imports a package without consent."""
    if not allow_import:
        check_import(config, source)
    return env_from_config(config)


def check_import(config: RunConfig, source: str = CONFIG_FILE) -> None:
    """Refuse an environment in a package that only ``source``, a file, names; imported ones are fine."""
    package = EnvId.parse(config.env).package
    if package is not None and package not in sys.modules:
        raise UsageError(
            f"the environment is in the package {package!r}, which only {source} names, and importing that would run "
            "what it holds. If you trust it: --allow-import, in Python allow_import=True"
        )
