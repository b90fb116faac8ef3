"""What goes into an exported policy and what comes out, by name.

    obs                     observations ``[B, ...]``; of a nested space one input per leaf: ``obs.KEY``, ``obs.KEY.0``
    action_mask             ``[B, choices]``, booleans; of policies that were trained with masks
    carry_in.0, ...         the memory, ``[B, ...]``; of policies that have one. Any numbers where ``first`` is true
    first                   ``[B]``, booleans: whether the observation opens an episode; of policies with memory

    action                  the environment's actions ``[B, ...]``, the distribution's mode; of a nested space
                            ``action.KEY``
    logits                  with ``output="parameters"``: of Discrete, MultiDiscrete (one component after the other) and
                            MultiBinary (log-odds of 1); -∞: forbidden. Of a Box in bins: one dimension after the other
    mean, log_std           of a Box, before it is squashed or mapped to the bounds
    alpha, beta             of a Box with a Beta distribution on (0, 1)
    carry_out.0, ...        the memory after this step

Images (bytes) are uint8, other integers int32, numbers float32. Only the part of the memory that actions depend on is
there: the critic's stays behind.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.errors import UsageError
from proximax.maths import Beta, Gaussian, Joint, SquashedGaussian
from proximax.policy import Agent
from proximax.spaces import MASK, Space, branches, flatten, has_mask, leaves, obs_dtype, unflatten
from proximax.types import PyTree

Output = Literal["action", "parameters"]
FIRST, CARRY_IN, CARRY_OUT = "first", "carry_in", "carry_out"


class Port(NamedTuple):
    """An input or output: ``shape`` is without the batch."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    def example(self, batch: int) -> jax.ShapeDtypeStruct:
        """Its shape for so many rows."""
        return jax.ShapeDtypeStruct((batch, *self.shape), self.dtype)


class Signature(NamedTuple):
    """A policy as a function of plain arrays.

    ``function(observations, carry, first)``, three lists of arrays, gives (actions, parameters, the next carry), lists
    too. ``carry``: its leaves, those of the critic among them.
    """

    function: Callable[..., tuple[list[Any], list[Any], list[Any]]]
    observations: list[Port]
    carry: list[Port]
    actions: list[Port]
    parameters: list[Port]


def port_dtype(leaf: Space) -> str:
    """The dtype of observations: of what is stored, but with one kind of integers beside bytes."""
    stored = obs_dtype(leaf)
    return "uint8" if stored == np.uint8 else "float32" if stored.kind == "f" else "int32"


def leaf_names(space: Space, name: str) -> list[str]:
    """``name``, or of a nested space ``name.KEY`` for each leaf."""
    parts = branches(space)
    names = [name] if parts is None else [leaf for key, part in parts for leaf in leaf_names(part, f"{name}.{key}")]
    if len(set(names)) < len(names):
        raise UsageError(f"two parts of {space} would have the same name in a file: {sorted(names)}. Rename a key")
    return names


def mask_space(space: Space) -> Space:
    """The space of the masks in observations that have them."""
    assert isinstance(space, spaces.Dict)
    return space.spaces[MASK]


def widths(space: Space) -> list[int]:
    """The number of numbers in each leaf."""
    return [math.prod(leaf.shape or ()) for leaf in leaves(space)]


def observation_ports(space: Space) -> list[Port]:
    """The inputs for an observation; the mask, however it is nested, is one of them, the last."""
    inner = space
    if has_mask(space):
        rest = {str(key): part for key, part in branches(space) or [] if key != MASK}
        inner = rest["obs"] if set(rest) == {"obs"} else spaces.Dict(rest)
    ports = [
        Port(name, tuple(leaf.shape or ()), port_dtype(leaf))
        for name, leaf in zip(leaf_names(inner, "obs"), leaves(inner))
    ]
    return [*ports, Port(MASK, (sum(widths(mask_space(space))),), "bool")] if has_mask(space) else ports


def observation_tree(space: Space, arrays: list[Any]) -> PyTree:
    """The observation that the inputs say, as the policy takes it."""
    if not has_mask(space):
        return unflatten(space, iter(arrays))
    *rest, mask = arrays
    masks = mask_space(space)
    columns = jnp.split(mask.astype(jnp.int32), np.cumsum(widths(masks))[:-1], axis=1)
    parts = [column.reshape(len(mask), *(leaf.shape or ())) for column, leaf in zip(columns, leaves(masks))]
    values = iter(rest)
    return {
        key: unflatten(masks, iter(parts)) if key == MASK else unflatten(part, values)
        for key, part in branches(space) or []
    }


def observation_arrays(space: Space, obs: PyTree) -> dict[str, np.ndarray]:
    """The inputs for observations ``[B, ...]``, by name: the inverse of ``observation_tree``."""
    ports = observation_ports(space)
    values: list[Any] = []
    if has_mask(space):
        for key, part in branches(space) or []:
            values += flatten(part, obs[key]) if key != MASK else []
        masks = flatten(mask_space(space), obs[MASK])
        values.append(np.concatenate([np.reshape(x, (len(x), -1)) for x in masks], axis=1) > 0)
    else:
        values = flatten(space, obs)
    return {port.name: np.asarray(x, port.dtype) for port, x in zip(ports, values, strict=True)}


def distribution(
    agent: Agent, structure: Any, observations: list[Any], carry: list[Any], first: Any
) -> tuple[Any, PyTree]:
    """The distribution over actions and the next carry."""
    obs = observation_tree(agent.observation_space, observations)
    encoded = agent.policy.encode(agent.obs_moments, obs)
    dist, _, memory = agent.policy.apply(agent.params, jax.tree.unflatten(structure, carry), encoded, first)
    return dist, memory


def act(agent: Agent, structure: Any, *inputs: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """(actions, the distribution's parameters, the next carry), each as a list of arrays."""
    dist, memory = distribution(agent, structure, *inputs)
    actions = flatten(agent.action_space, agent.policy.env_action(dist.mode()))
    kinds = [port.dtype for port in action_ports(agent.action_space)]
    return [x.astype(kind) for x, kind in zip(actions, kinds)], parameters_of(dist), jax.tree.leaves(memory)


def parts_of(dist: Any) -> tuple[Any, ...]:
    """The distributions of the leaves of the action space."""
    return dist.parts if isinstance(dist, Joint) else (dist,)


def parameters_of(dist: Any) -> list[Any]:
    """The parameters of a distribution, part after part."""
    return [getattr(part, name) for part in parts_of(dist) for name in parameter_names(part)]


def parameter_names(part: Any) -> tuple[str, ...]:
    """What the parameters of one leaf's distribution are called."""
    if isinstance(part, Gaussian | SquashedGaussian):
        return "mean", "log_std"
    return ("alpha", "beta") if isinstance(part, Beta) else ("logits",)


def action_ports(space: Space) -> list[Port]:
    """The outputs for an action."""
    return [
        Port(name, tuple(leaf.shape or ()), "float32" if np.dtype(leaf.dtype).kind == "f" else "int32")
        for name, leaf in zip(leaf_names(space, "action"), leaves(space))
    ]


def signature(agent: Agent) -> Signature:
    """An agent's policy as a function of plain arrays, with the names of its inputs and outputs."""
    example = jax.eval_shape(lambda: agent.policy.initial_carry(2))
    structure = jax.tree.structure(example)
    carry = [Port(f"{CARRY_IN}.{i}", x.shape[1:], x.dtype.name) for i, x in enumerate(jax.tree.leaves(example))]
    observations = observation_ports(agent.observation_space)
    inputs = [port.example(2) for port in observations], [port.example(2) for port in carry]

    def parameters_by_name(*inputs: Any) -> list[OrderedDict[str, Any]]:  # JAX would sort the names of a dict
        parts = parts_of(distribution(agent, structure, *inputs)[0])
        return [OrderedDict((name, getattr(part, name)) for name in parameter_names(part)) for part in parts]

    named = jax.eval_shape(parameters_by_name, *inputs, jax.ShapeDtypeStruct((2,), bool))
    paths = [leaf.removeprefix("action") for leaf in leaf_names(agent.action_space, "action")]
    parameters = [
        Port(f"{name}{path}", x.shape[1:], "float32") for part, path in zip(named, paths) for name, x in part.items()
    ]
    return Signature(partial(act, agent, structure), observations, carry, action_ports(agent.action_space), parameters)
