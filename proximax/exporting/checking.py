"""Whether an exported policy acts as the agent does: both on the same observations, before the file is written."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnasium import spaces

from proximax.errors import NumericalError
from proximax.exporting.contract import Signature, observation_arrays, signature
from proximax.exporting.observations import batches
from proximax.policy import Agent
from proximax.runtime import compilation
from proximax.spaces import Space, choices_per_component, flatten, leaves
from proximax.types import PyTree

TOLERANCE = 1e-5  # of a number, relative to the largest in its row where that is above 1
NEW_EPISODE = 0.05  # the probability that an observation opens one, of policies with memory
# (observations, memory, whether they open episodes) -> outputs by name, memory
Player = Callable[[PyTree, Any, np.ndarray], tuple[dict[str, np.ndarray], Any]]


class Difference(NamedTuple):
    """The largest one of a check, in units of ``TOLERANCE``'s, and on how many observations it was looked for."""

    largest: float
    observations: int


def check_policy(agent: Agent, play: Player, count: int, seed: int = 0) -> Difference:
    """Compare ``play``, which has what was exported, with ``Agent.act`` and the distribution's parameters.

    An integer action may differ where two choices are equally likely up to the tolerance. One observation alone is
    tried too, so that a file that takes one batch size only is found out. Raises ``NumericalError``.
    """
    rng, signed = np.random.default_rng(seed), signature(agent)
    expected = compilation.jit(signed.function, fast_compile=True)
    largest, tried = 0.0, 0
    for sizes in (1, count):
        mine = Agent(agent.policy, agent.params, agent.obs_moments, agent.observation_space, agent.action_space)
        carry: Any = None
        memory: Any = None
        for obs in batches(agent, sizes, rng):
            size = len(jax.tree.leaves(obs)[0])
            first = np.full(size, carry is None) | (rng.random(size) < NEW_EPISODE)
            carry = jax.tree.leaves(agent.policy.initial_carry(size)) if carry is None else carry
            arrays = list(observation_arrays(agent.observation_space, obs).values())
            _, parameters, carry = expected(arrays, carry, first)
            acted = mine.act(obs, first=first)
            outputs, memory = play(obs, memory, first)
            step = compare(agent, signed, outputs, acted, [np.asarray(x) for x in parameters])
            largest, tried = max(largest, step), tried + size
    return Difference(largest, tried)


def compare(
    agent: Agent, signed: Signature, outputs: dict[str, np.ndarray], acted: PyTree, parameters: Sequence[np.ndarray]
) -> float:
    """The largest difference of one batch. Raises ``NumericalError`` where it is beyond the tolerance."""
    largest = 0.0
    expected = dict(zip((port.name for port in signed.parameters), parameters))
    for name in expected.keys() & outputs.keys():
        largest = max(largest, refuse_difference(name, outputs[name], expected[name]))
    actions = flatten(agent.action_space, acted)
    for port, leaf, action in zip(signed.actions, leaves(agent.action_space), actions):
        given = np.asarray(outputs[port.name])
        if isinstance(leaf, spaces.Box):
            largest = max(largest, refuse_difference(port.name, given, action))
        elif (rows := (given != action).reshape(len(given), -1).any(axis=1)).any():
            logits = expected[port.name.replace("action", "logits", 1)][rows]
            refuse_difference(port.name, *preferences(leaf, logits, given[rows], action[rows]))
    return largest


def refuse_difference(name: str, given: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference of an output, relative to its row. Raises ``NumericalError``."""
    if given.shape != expected.shape:
        raise NumericalError(f"{name} of the exported policy has shape {given.shape}; the agent's has {expected.shape}")
    rows = [np.reshape(x, (len(x), -1)).astype(np.float64) for x in (given, expected)]
    scale = np.maximum(1.0, np.abs(np.where(np.isfinite(rows[1]), rows[1], 0.0)).max(axis=1, keepdims=True))
    equal = rows[0] == rows[1]  # of infinities the difference is none
    with np.errstate(invalid="ignore"):
        difference = np.where(equal, 0.0, np.abs(rows[0] - rows[1]) / scale)
    largest = float(np.max(difference, initial=0.0))
    if not largest <= TOLERANCE:
        i = int(np.argmax(~(difference <= TOLERANCE).all(axis=1)))
        raise NumericalError(
            f"{name} of the exported policy is {given[i]} for an observation where the agent's is {expected[i]}: they "
            f"differ by {largest:.2g}, more than {TOLERANCE}. No file was written"
        )
    return largest


def preferences(
    leaf: Space, logits: np.ndarray, given: np.ndarray, expected: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The logits ``[B, components]`` of the actions that were given, and of those that were expected."""
    if isinstance(leaf, spaces.MultiBinary):
        logits = np.stack([np.zeros_like(logits), logits], axis=-1).reshape(len(logits), -1)
    start = np.reshape(getattr(leaf, "start", 0), -1)
    offsets = np.cumsum([0, *choices_per_component(leaf)[:-1]])
    index = [np.reshape(x, (len(x), -1)).astype(np.int64) - start + offsets for x in (given, expected)]
    chosen, best = (np.take_along_axis(logits, i, axis=1) for i in index)
    return chosen, best
