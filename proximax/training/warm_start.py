"""Starting a new run from policies that are trained already: parameters, observation normalisers, on request Adam."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from gymnasium.spaces import Dict
from jax.tree_util import keystr

from proximax.config import RunConfig, type_problem
from proximax.errors import UsageError
from proximax.networks import AnyNetwork
from proximax.policy import Agent, network_input_space, without_mask
from proximax.runs import POLICY, STATE, find_checkpoint, load_agents, load_config
from proximax.runtime import check_no_extra_arrays, restore_tree
from proximax.spaces import MASK, Space, compatible, has_mask
from proximax.training.result import Result
from proximax.types import PyTree, TrainState

AGENT = "agent"  # what config.json says instead of a run directory


def init_from_problem(value: object) -> str:
    """What is wrong with ``train``'s argument ``init_from``; "" if nothing is."""
    if isinstance(value, Result):
        return "init_from = a Result: pass its policy, result.agent, or its run directory"
    return type_problem("init_from", value, (str, Path, Agent, type(None)), "a run directory or an Agent")


def initial_agents(config: RunConfig, agent: Agent | None, network: AnyNetwork | None) -> list[Agent]:
    """The policies that the seeds start from, in turn; none where the run starts from random weights."""
    if agent is not None:
        return [agent]
    if config.init_from is None:
        return []
    if config.init_from == AGENT:
        raise UsageError("init_from: the run started from an Agent, which only Python has: pass init_from=agent")
    if Path(config.init_from).is_file():
        return [Agent.from_file(config.init_from, network)]
    return load_agents(config.init_from, network, config.init_checkpoint)[0]


def start_from(agents: list[Agent], state: TrainState, config: RunConfig, spaces: tuple[Space, Space]) -> TrainState:
    """The first ``state`` of a run with the agents' parameters and normalisers: seed i has those of agent i mod len.

    Step sizes, reward scale and environments start from scratch, the optimiser too unless ``config.init_optimiser``:
    so environment, number of environments, learning rate and horizon may differ. ``spaces``: the run's, of observations
    and actions. Raises ``UsageError`` where spaces, networks or normalisers do not fit.
    """
    chosen = [agents[i % len(agents)] for i in range(config.seeds)]
    check_spaces(chosen[0], *spaces)
    if bool(jax.tree.leaves(state.obs_moments)) != bool(jax.tree.leaves(chosen[0].obs_moments)):
        theirs = bool(jax.tree.leaves(chosen[0].obs_moments))
        raise UsageError(
            f"init_from: that policy {'normalises' if theirs else 'does not normalise'} observations, this run "
            f"{'does not' if theirs else 'does'}: set normalise_obs = {theirs} (--ppo.normalise-obs {theirs})"
        )
    params = stacked("parameters", [agent.params for agent in chosen], state.params)
    normalisers = [moments_for(spaces[0], agent) for agent in chosen]
    moments = stacked("observation normaliser", normalisers, state.obs_moments)
    opt_state = initial_optimiser(config, state) if config.init_optimiser else state.opt_state
    return state._replace(params=params, obs_moments=moments, opt_state=opt_state)


def check_spaces(agent: Agent, observation_space: Space, action_space: Space) -> None:
    """Refuse a policy of other spaces, and name what differs. Its observations may lack the mask, or have one more."""
    pairs = {
        "observations": (network_input_space(agent.observation_space), network_input_space(observation_space)),
        "actions": (agent.action_space, action_space),
    }
    differ = [
        f"that policy's {what} are {one_line(theirs)}, this run's {one_line(ours)}"
        for what, (theirs, ours) in pairs.items()
        if not compatible(theirs, ours)
    ]
    if differ:
        raise UsageError(f"init_from does not fit: {'; '.join(differ)}")


def one_line(space: Space) -> str:
    """A space as a message has it."""
    return " ".join(str(space).split())


def moments_for(observation_space: Space, agent: Agent) -> PyTree:
    """The agent's normaliser in the form of ``observation_space``, which may have a mask where the agent's has none.

    A mask is not normalised, and is not an input of the network: the policy is the same with it and without it.
    """
    theirs, moments = agent.observation_space, agent.obs_moments
    if moments is None or has_mask(theirs) == has_mask(observation_space):
        return moments
    inputs = without_mask(theirs, moments)
    if not has_mask(observation_space):
        return inputs
    assert isinstance(observation_space, Dict)
    names = [name for name in observation_space.spaces if name != MASK]
    entries = {names[0]: inputs} if len(names) == 1 else inputs
    return {name: None if name == MASK else entries[name] for name in observation_space.spaces}


def start_note(config: RunConfig) -> str:
    """Which policy the run starts from; of a run directory also the checkpoint and its steps."""
    source = str(config.init_from)
    if source == AGENT:
        return "starts from the policy of an Agent"
    if Path(source).is_file():
        return f"starts from the policy in {source}"
    (path, manifest), _ = find_checkpoint(Path(source), config.init_checkpoint)
    return f"starts from {source}, {path.name}: trained for {manifest['steps']:,} steps"


def initial_optimiser(config: RunConfig, state: TrainState) -> PyTree:
    """The optimiser's state of the run ``config.init_from``, its seeds in turn."""
    source = Path(str(config.init_from))
    if config.init_from == AGENT or source.is_file():
        raise UsageError("init_optimiser: init_from is a policy without its optimiser; name the run directory")
    checkpoint, tensors = find_checkpoint(source, config.init_checkpoint, read=(POLICY, STATE))
    theirs_config = load_config(source)
    seeds, kinds = theirs_config.seeds, (theirs_config.algo, config.algo)
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct((seeds, *x.shape[1:]), x.dtype), state.opt_state)
    prefix = ".opt_state"
    theirs = {name.removeprefix(prefix): x for name, x in tensors.items() if name.startswith(prefix)}
    ours = {keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)}
    if kinds[0] != kinds[1] and ours != set(theirs):
        raise UsageError(
            f"init_optimiser: that run's algorithm is {kinds[0]}, this one's {kinds[1]}, and their optimisers differ: "
            "leave init_optimiser out, and the new run starts from zero"
        )
    saved = restore_tree(like, theirs, checkpoint.path)
    check_no_extra_arrays(theirs, checkpoint.path)
    chosen = np.arange(config.seeds) % seeds
    return jax.tree.map(lambda old, x: placed_like(old, x[chosen]), state.opt_state, saved)


def placed_like(old: object, array: np.ndarray) -> Any:
    """``array``, on the device of ``old``."""
    return jax.device_put(array, old.sharding) if isinstance(old, jax.Array) else array


def stacked(what: str, trees: list[PyTree], example: PyTree) -> PyTree:
    """The trees with a leading axis S, placed as ``example``, whose shapes they must have."""
    wanted = {keystr(path): np.shape(x) for path, x in jax.tree_util.tree_leaves_with_path(example)}
    given = {keystr(path): np.shape(x) for path, x in jax.tree_util.tree_leaves_with_path(trees[0])}
    for path in wanted | given:
        ours, theirs = wanted.get(path, (0,))[1:], given.get(path)
        if path not in wanted or theirs != ours:
            has = "is missing" if theirs is None else f"has shape {theirs}"
            expected = f"needs {ours}" if path in wanted else "has no such array"
            raise UsageError(
                f"init_from does not fit: in that policy's {what} {path} {has}, this run {expected}. Settings of the "
                "network (hidden, layer_norm, network, shared_torso, box_distribution), normalise_values and spaces "
                "must be the same"
            )

    def stack(old: Any, *parts: Any) -> Any:
        return placed_like(old, np.stack([np.asarray(x, old.dtype) for x in parts]))

    return jax.tree.map(stack, example, *trees)
