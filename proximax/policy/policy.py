"""A policy: observation encoding, network, action distribution and the environment's actions, as pure functions."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from gymnasium import spaces
from jax.interpreters.partial_eval import dce_jaxpr

from proximax.config import NetworkName, PPOConfig, refuse, type_problem
from proximax.errors import CheckpointError, UsageError
from proximax.maths import Distribution
from proximax.networks import (
    CELLS,
    AnyNetwork,
    Network,
    RecurrentNetwork,
    Torso,
    as_recurrent,
    images,
    impala,
    mlp,
    mlp_torso,
    nature,
    network_problem,
    patch_cnn,
    patch_torso,
    pong_small,
    recurrent,
)
from proximax.policy.actions import (
    action_distribution,
    check_box_distribution,
    env_action,
    fraction_at_bounds,
    has_bounds,
    num_log_stds,
    num_outputs,
    sampled_action,
)
from proximax.policy.observations import encode_obs, example_input, is_image, network_input_space
from proximax.policy.value_scale import VALUE_MOMENTS, initial_value_moments, value_of
from proximax.runtime import compilation
from proximax.spaces import (
    Space,
    check_action_space,
    check_mask,
    check_observation_space,
    has_mask,
    mask_of,
    no_action_allowed,
)
from proximax.types import Array, Key, Params, PyTree

PATCHES = 14  # strides of the first kernels of the network ``patch_cnn`` along either axis of an image


class PolicyDiagnostics(NamedTuple):
    """What to report of a policy's inputs and actions; None where it does not apply.

    ``all_masked``: observations ``[B, ...]``, not encoded -> ``[B]``: whether the mask allows no action; None without
    masks. ``fraction_at_bounds``: sampled actions ``[B, ...]`` -> ``[B]``: the fraction of their bounded numbers that
    reach a bound; None without bounds.
    """

    all_masked: Callable[[PyTree], jax.Array] | None = None
    fraction_at_bounds: Callable[[PyTree], jax.Array] | None = None


class PolicySettings(NamedTuple):
    """What ``make_policy`` made a policy from, besides its spaces."""

    config: PPOConfig
    network: NetworkName | None  # None: a custom one


class Policy(NamedTuple):
    """π(a|s) and V(s) as pure functions. ``obs`` is encoded (``encode``), with one batch axis ``B``.

    ``apply(params, carry, obs, first)`` gives the distribution over actions, the value ``[B]`` and the next carry.
    A recurrent policy resets its carry where ``first`` is true; for a feed-forward one ``carry`` is ``()``.
    """

    init: Callable[[Key], Params]  # key -> parameters
    initial_carry: Callable[[int], PyTree]  # B -> the memory before the first observation
    # (parameters, carry, encoded observations, first) -> (distribution, values, the next carry)
    apply: Callable[[Params, PyTree, PyTree, Array], tuple[Distribution, jax.Array, PyTree]]
    encode: Callable[[PyTree, PyTree], PyTree]  # (moments, observations) -> what ``apply`` takes: normalised, one-hot
    env_action: Callable[[PyTree], PyTree]  # an action as sampled -> as the environment takes it
    diagnostics: PolicyDiagnostics = PolicyDiagnostics()  # what of its actions and memory is measured
    # The inverse of ``env_action`` (``actions.sampled_action``); None: not known.
    sampled_action: Callable[[PyTree], tuple[PyTree, jax.Array]] | None = None
    settings: PolicySettings | None = None  # for ``Agent.save``; None: it was made by other means
    # ``apply`` over time, of policies with memory: (params, carry, obs ``[T * B, ...]``, first ``[T, B]``) -> (dist and
    # value of T * B, carries after each step ``[T, B, ...]``). None: without memory.
    unroll: Callable[[Params, PyTree, PyTree, Array], tuple[Distribution, jax.Array, PyTree]] | None = None
    # In place of ``choose``, outside JAX: (sample, params, moments, carry, obs, first, key) -> (actions, carry), NumPy
    # arrays. For policies in exported files, which have neither ``apply`` nor ``encode``.
    choose_outside: Callable[..., tuple[PyTree, PyTree]] | None = None


def make_policy(
    observation_space: Space,
    action_space: Space,
    config: PPOConfig,
    network: AnyNetwork | NetworkName = "auto",
) -> Policy:
    """The policy for these spaces (``proximax.policy.actions``: which distribution each action space has).

    ``observation_space`` and ``action_space``: those of one environment, Gymnasium's. ``config``: sizes, activation,
    distribution and normalisation are read from it.
    ``network``: a ``Network``, a ``RecurrentNetwork``, or the name of a built-in one. An ``action_mask`` in the
    observations masks actions.
    Raises ``UsageError`` for spaces that are not supported or a network that does not fit them.
    """
    check_types(observation_space, action_space, config, network)
    check_observation_space(observation_space)
    check_action_space(action_space)
    check_box_distribution(action_space, config)
    check_mask(observation_space, action_space)
    settings = PolicySettings(config, network if isinstance(network, str) else None)
    if isinstance(network, str):
        network = built_in(network, observation_space, num_outputs(action_space, config), config)
    network = as_recurrent(network)
    masked, network_unroll = has_mask(observation_space), network.unroll

    def distribution(params: Params, out: jax.Array, allowed: Any) -> Distribution:
        return action_distribution(action_space, config, out, params.get("log_std"), allowed)

    def apply(params: Params, carry: PyTree, obs: PyTree, first: Array) -> tuple[Distribution, jax.Array, PyTree]:
        inputs, allowed = obs if masked else (obs, None)
        out, value, carry = network.apply(params["network"], carry, inputs, first)
        return distribution(params, out, allowed), value_of(params, value), carry

    def unroll(params: Params, carry: PyTree, obs: PyTree, first: Array) -> tuple[Distribution, jax.Array, PyTree]:
        inputs, allowed = obs if masked else (obs, None)
        inputs = jax.tree.map(lambda x: x.reshape(*first.shape, *x.shape[1:]), inputs)
        assert network_unroll is not None
        out, value, carries = network_unroll(params["network"], carry, inputs, first)
        value = value_of(params, value.reshape(-1))
        return distribution(params, out.reshape(-1, out.shape[-1]), allowed), value, carries

    def encode(moments: PyTree, obs: PyTree) -> PyTree:
        inputs = encode_obs(observation_space, moments, obs)
        return (inputs, mask_of(observation_space, obs)) if masked else inputs

    def all_masked(obs: PyTree) -> jax.Array:
        return no_action_allowed(action_space, mask_of(observation_space, obs))

    return Policy(
        init=partial(init_parameters, network, observation_space, action_space, config),
        initial_carry=network.initial_carry,
        apply=apply,
        encode=encode,
        env_action=partial(env_action, action_space, config),
        diagnostics=PolicyDiagnostics(
            all_masked=all_masked if masked else None,
            fraction_at_bounds=partial(fraction_at_bounds, action_space, config) if has_bounds(action_space) else None,
        ),
        sampled_action=partial(sampled_action, action_space, config),
        settings=settings,
        unroll=unroll if network_unroll else None,
    )


def init_parameters(
    network: RecurrentNetwork,
    observation_space: Space,
    action_space: Space,
    config: PPOConfig,
    key: Key,
) -> Params:
    """The parameters of a policy: its network's, log σ where that is not an output, moments of normalised values."""
    outputs, log_stds = num_outputs(action_space, config), num_log_stds(action_space, config)
    example = example_input(observation_space)
    params = {"network": network.init(key, example)}
    if log_stds:
        params["log_std"] = np.full(log_stds, config.log_std_init, np.float32)
    if config.normalise_values:
        params[VALUE_MOMENTS] = initial_value_moments()
    check_parameters(params)
    check_outputs(network, params["network"], example, outputs, action_space)
    return params


def check_types(observation_space: object, action_space: object, config: object, network: object) -> None:
    """Refuse arguments of ``make_policy`` of other types."""
    refuse(
        [
            type_problem("observation_space", observation_space, spaces.Space, "a Gymnasium space"),
            type_problem("action_space", action_space, spaces.Space, "a Gymnasium space"),
            type_problem("config", config, PPOConfig, "a PPOConfig"),
            network_problem(network),
        ]
    )


def is_mlp(name: NetworkName, observation_space: Space) -> bool:
    """Whether the network called ``name`` is an MLP with layers of ``config.hidden`` units, for these observations."""
    return name == "mlp" or (name == "auto" and not _is_image_input(network_input_space(observation_space)))


def check_size(observation_space: Space, name: NetworkName, config: PPOConfig, max_numbers: int, where: Path) -> None:
    """Refuse layers that a file of ``max_numbers`` cannot hold, before arrays of their size are allocated."""
    layers = {}
    if name in CELLS:
        layers[f"recurrent_units = {config.recurrent_units}"] = config.recurrent_layers * 2 * config.recurrent_units**2
    if is_mlp("auto" if name in CELLS else name, observation_space):
        widths = sum(math.prod(x.shape) for x in jax.tree.leaves(example_input(observation_space))), *config.hidden
        layers[f"hidden = {config.hidden}"] = sum(a * b for a, b in pairwise(widths))
    for setting, min_weights in layers.items():
        if min_weights > max_numbers:
            raise CheckpointError(f"{where} does not fit: {setting} has {min_weights:,} weights or more")


def _is_image_input(space: Space) -> bool:
    return is_image(space) and len(space.shape or ()) >= 2


def built_in(name: NetworkName, observation_space: Space, outputs: int, config: PPOConfig) -> AnyNetwork:
    """The network called ``name`` for these observations."""
    space = network_input_space(observation_space)
    if config.layer_norm and not is_mlp("auto" if name in CELLS else name, observation_space):
        raise UsageError(
            f"layer_norm = True: only for MLPs, and network = {name} is none for these observations, {space}"
        )
    if name in CELLS:
        cells = [CELLS[name](config.recurrent_units) for _ in range(config.recurrent_layers)]
        return recurrent(outputs, torso(space, config), cells, config.shared_torso)
    if is_mlp(name, observation_space):
        sharing = config.shared_torso, config.branch_torsos
        return mlp(outputs, config.hidden, config.activation, *sharing, layer_norm=config.layer_norm)
    if not _is_image_input(space):
        raise UsageError(f"network = {name} takes images (bytes [height, width] or more axes); this space is {space}")
    if name in ("auto", "patch-cnn"):
        return patch_cnn(outputs, patch_stride(space))
    networks: dict[str, Callable[[int], Network]] = {"nature": nature, "impala": impala, "pong-small": pong_small}
    return networks[name](outputs)


def torso(space: Space, config: PPOConfig) -> Torso:
    """What is below the memory: the convolutions of ``patch_cnn`` for an image, otherwise hidden layers."""
    if _is_image_input(space):
        return patch_torso(patch_stride(space))
    return mlp_torso(config.hidden, config.activation, config.layer_norm)


def patch_stride(space: Space) -> tuple[int, int]:
    """The stride of ``patch_cnn``'s first kernels."""
    _, height, width, _ = images(example_input(space)).shape
    return max(1, height // PATCHES), max(1, width // PATCHES)


def choose(
    policy: Policy,
    sample: bool,
    params: Params,
    moments: PyTree,
    carry: PyTree,
    obs: PyTree,
    first: Array,
    key: Key,
) -> tuple[PyTree, PyTree]:
    """The environment's actions for observations ``[B, ...]``, the mode or a sample, and the next carry."""
    dist, _, carry = policy.apply(params, carry, policy.encode(moments, obs), first)
    return policy.env_action(dist.sample(key) if sample else dist.mode()), carry


def choice_of(policy: Policy, sample: bool) -> Callable[..., tuple[PyTree, PyTree]]:
    """``choose`` for environments outside the program: compiled, or what the policy has in its place."""
    if policy.choose_outside is not None:
        return partial(policy.choose_outside, sample)
    return compilation.jit(partial(choose, policy, sample), fast_compile=True)


def assess(
    policy: Policy, params: Params, moments: PyTree, carry: PyTree, obs: PyTree, first: Array
) -> tuple[Distribution, jax.Array]:
    """π(. | s) and V(s) for observations ``[B, ...]``."""
    dist, value, _ = policy.apply(params, carry, policy.encode(moments, obs), first)
    return dist, value


def policy_parameters(policy: Policy, params: Params, moments: PyTree, obs: PyTree, first: Array) -> list[bool]:
    """For each leaf of ``params`` whether π(. | s) depends on it, for stored ``obs`` ``[B, ...]``, by tracing alone."""
    inputs = params, moments, obs, first
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), inputs)

    def parts(params: Params, moments: PyTree, obs: PyTree, first: Array) -> list[jax.Array]:
        carry = policy.initial_carry(first.shape[0])
        dist, _, _ = policy.apply(params, carry, policy.encode(moments, obs), first)
        return jax.tree.leaves(dist)

    traced = jax.make_jaxpr(parts)(*shapes)
    _, used = dce_jaxpr(traced.jaxpr, [True] * len(traced.out_avals))
    return list(used[: len(jax.tree.leaves(params))])


def check_parameters(params: Params) -> None:
    """Refuse parameters that are not float32: the optimiser works on one float32 vector of all parameters."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if leaf.dtype != np.float32:
            raise UsageError(f"parameter {jax.tree_util.keystr(path)} is of {leaf.dtype}; parameters must be float32")


def check_outputs(
    network: RecurrentNetwork,
    params: Params,
    example: PyTree,
    outputs: int,
    action_space: Space,
) -> None:
    """Refuse a network whose output shapes do not fit the action space."""
    out, value, _ = jax.eval_shape(network.apply, params, network.initial_carry(1), example, np.ones(1, bool))
    if out.shape != (1, outputs):
        raise UsageError(
            f"the network's policy output has shape {out.shape}; the action space {action_space} needs {(1, outputs)}"
        )
    if value.shape != (1,):
        raise UsageError(f"the network's value has shape {value.shape}; it must be (1,), one number per observation")
