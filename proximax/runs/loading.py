"""The trained policies of a run directory."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from proximax.config import SEED, RunConfig, from_json, path_problem, range_problem, refuse, type_problem
from proximax.errors import CheckpointError, UsageError
from proximax.exporting import ExportedAgent, is_exported, is_in_zoo, read_exported, zoo_file
from proximax.networks import AnyNetwork, network_problem
from proximax.policy import Agent, check_size, init_obs_moments, make_policy, split_agents
from proximax.runs.checkpoint import (
    MANIFEST,
    POLICY,
    candidates,
    checkpoint_names,
    find_checkpoint,
)
from proximax.runtime import (
    check_no_extra_arrays,
    own_settings,
    path_named,
    read_json,
    reading,
    refuse_fork,
    restore_tree,
    show_messages,
)
from proximax.spaces import MAX_ELEMENTS, make_space
from proximax.types import Params, PyTree

logger = logging.getLogger(__name__)


OPTIONAL_SEED = replace(SEED, optional=True)


def run_problem(run: object) -> str:
    """What is wrong with what should be an ``Agent``, a run directory or a policy's file; "" if nothing is."""
    problem = "" if isinstance(run, Agent) else path_problem("run", run)
    hint = ": its .agent, or its .directory" if hasattr(run, "agent") else ""  # a ``Result``
    return f"{problem} or an Agent{hint}" if problem else ""


class Policies(NamedTuple):
    """The part of a ``TrainState`` that acts."""

    params: Params  # [S, ...]
    obs_moments: PyTree


@show_messages()
@own_settings()
def load(
    run_dir: str | Path, *, seed: int | None = None, checkpoint: str = "last", network: AnyNetwork | None = None
) -> Agent:
    """The trained policy of a run: that of ``seed``, by default the seed with the best final evaluation.

    ``run_dir``: or one of its checkpoints (``RUN/checkpoints/step-...``); or a file that holds one policy: of
    ``Agent.save``, or of ``export`` (.onnx, .npz), whose policy acts and no more; or ``zoo:CartPole-v1``, a policy that
    comes with proximax.

    ``checkpoint``: "last", "best" by the evaluations while training, or a name (``step-000000102400``).
    ``network``: needed for a policy trained with a custom network. Raises ``CheckpointError`` for anything that
    training did not save.
    """
    if isinstance(run_dir, (str, Path)):
        if (file := policy_file(run_dir)) is not None:
            return load_file(file, network)
        if is_checkpoint(Path(run_dir)):
            run_dir, checkpoint = Path(run_dir).parent.parent, Path(run_dir).name
    return load_agent(run_dir, seed, network, checkpoint)[0]


def policy_file(source: str | Path) -> Path | None:
    """The file of one policy that a path or ``zoo:NAME`` says; None for a run directory."""
    if is_in_zoo(source):
        return zoo_file(str(source))
    path = Path(source)
    return path if path.is_file() or (is_exported(path) and not path.exists()) else None


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a checkpoint of a run."""
    return path.parent.name == "checkpoints" and (path / MANIFEST).is_file()


def load_file(path: Path, network: AnyNetwork | None = None) -> Agent:
    """The policy in a file of ``Agent.save`` or of ``export``."""
    refuse([network_problem(network, names=False)])
    return read_exported(path) if is_exported(path) else Agent.from_file(path, network)


def exported_config(agent: Agent) -> RunConfig | None:
    """The settings of the run that an exported policy comes from; None where it does not know them."""
    values = agent.about.get("config") if isinstance(agent, ExportedAgent) else None
    return None if values is None else checked_config(values, Path("the exported policy's config"))


def load_agent(
    run_dir: str | Path, seed: int | None = None, network: AnyNetwork | None = None, checkpoint: str = "last"
) -> tuple[Agent, RunConfig, int]:
    """As ``load``; with the run's config and the seed whose policy it is."""
    refuse([range_problem("seed", seed, OPTIONAL_SEED)])
    agents, config = load_agents(run_dir, network, checkpoint)
    if seed is None:
        seed = config.seed + _best(Path(run_dir) / "result.json")
    if not config.seed <= seed < config.seed + config.seeds:
        raise CheckpointError(f"{run_dir} has no seed {seed}; it has {config.seed} to {config.seed + config.seeds - 1}")
    return agents[seed - config.seed], config, seed


def load_config(run_dir: str | Path) -> RunConfig:
    """The settings of a run."""
    path = path_named(run_dir, "the run directory")
    with reading(path):
        path, values = settings_of(path)
    return checked_config(values, path)


def checked_config(values: dict[str, Any], path: Path) -> RunConfig:
    """The settings in a file, which may be anybody's."""
    try:
        config = from_json(values)
        config.check()
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return config


def settings_of(run_dir: Path) -> tuple[Path, dict[str, Any]]:
    """(file, the settings of a run in it): config.json; where that is lost the newest checkpoint has them too."""
    path, folder = run_dir / "config.json", run_dir / "checkpoints"
    if not path.exists() and checkpoint_names(folder):
        for saved in candidates(folder, "last", {}):
            logger.warning(f"{path} is missing: its settings are taken from {saved.path}")
            return saved.path / MANIFEST, saved.manifest["config"]
    if run_dir.is_file():
        raise CheckpointError(
            f"{run_dir} is a file, not a run directory. In Python proximax.load takes one that agent.save wrote"
        )
    try:
        return path, read_json(path, f"{run_dir} is not a run directory")
    except CheckpointError as error:
        if not path.exists():
            raise
        remedy = "Delete or rename it: the settings are in the checkpoints too"
        without = "No checkpoint has the settings either: train again, with another --out"
        raise CheckpointError(f"{error}. {remedy if checkpoint_names(folder) else without}") from error


def _best(result: Path) -> int:
    """The index of the seed with the best final evaluation; the first one for a run without a result."""
    returns = read_json(result, "").get("returns", []) if result.exists() else []
    try:
        return int(np.argmax([-np.inf if r is None else float(r) for r in returns] or [0.0]))
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(f"{result} cannot be read: returns = {returns!r}") from error


def load_agents(
    run_dir: str | Path, network: AnyNetwork | None = None, checkpoint: str = "last"
) -> tuple[list[Agent], RunConfig]:
    """The policies of all seeds of a run, and its config."""
    refuse(
        [
            path_problem("run_dir", run_dir),
            network_problem(network, names=False),
            type_problem("checkpoint", checkpoint, str, "last, best or a name"),
        ]
    )
    refuse_fork()
    directory = Path(run_dir)
    config = load_config(directory)
    (path, manifest), tensors = find_checkpoint(directory, checkpoint)
    where = path / POLICY
    if manifest["network"] != "built-in" and network is None:
        raise CheckpointError(f"{directory} was trained with a custom network: pass it as network=...")
    # A built-in network has at least one weight for each element, so no file creates arrays much larger than itself.
    max_elements = MAX_ELEMENTS if network is not None else min(MAX_ELEMENTS, sum(x.size for x in tensors.values()))
    observation_space, action_space = (
        make_space(manifest[k], max_elements) for k in ("observation_space", "action_space")
    )
    if network is None:
        check_size(observation_space, config.network, config.ppo, max_elements, where)
    policy = make_policy(observation_space, action_space, config.ppo, network or config.network)
    single = Policies(policy.init(jax.random.key(0)), init_obs_moments(observation_space, config.ppo))
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((config.seeds, *np.shape(x)), x.dtype), single)
    params, moments = restore_tree(like, tensors, where)
    check_no_extra_arrays(tensors, where)
    return split_agents(policy, params, moments, observation_space, action_space), config
