"""A trained policy, without training code."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from proximax.config import SEED, path_problem, range_problem, refuse, shown
from proximax.errors import CheckpointError, UsageError
from proximax.maths import Categorical, Distribution, Joint, MultiCategorical
from proximax.networks import AnyNetwork
from proximax.policy.agent_file import read_agent, write_agent
from proximax.policy.memories import Memories
from proximax.policy.policy import Policy, assess, choice_of
from proximax.runtime import compilation, key_from_data, own_numbers
from proximax.spaces import (
    MASK,
    DoesNotFit,
    Space,
    check_ranges,
    check_structure,
    compatible,
    flatten,
    flatten_mask,
    flatten_masks,
    has_mask,
    leaves,
    mask_of,
    no_action_allowed,
    paths,
    to_stored,
    unflatten,
)
from proximax.types import Params, PyTree

# What does the work of other libraries' methods.
ELSEWHERE = {
    "predict": "act(obs) gives the action, act(obs, sample=True) one drawn from the policy; reset() forgets a memory",
    "compute_single_action": "act(obs) takes one observation or a batch",
    "learn": "proximax.train(ENV, init_from=agent) trains on from it",
    **dict.fromkeys(
        ("policy_kwargs", "get_parameters", "set_parameters"), "params holds the parameters, a tree of arrays"
    ),
}


class Agent:
    """A policy with its parameters and frozen observation normaliser.

    Every method takes one observation or a batch ``[B, ...]``, and an ``action_mask`` for an environment with masks
    outside the observation: as a vector or in the form of the action space, ``[B, ...]`` for a batch.

    A policy with memory remembers what it has acted on, for each of the B rows that it was first called with, or, where
    rows come and go, for each of the ``streams`` that the rows are said to belong to. Call ``reset()`` when episodes
    open, or pass ``first``. Without memory these have no effect.
    """

    def __init__(
        self,
        policy: Policy,
        params: Params,
        obs_moments: PyTree,
        observation_space: Space,
        action_space: Space,
    ) -> None:
        self.policy, self.params, self.obs_moments = policy, params, obs_moments
        self.observation_space, self.action_space = observation_space, action_space
        self._mode, self._sample = (choice_of(policy, sample) for sample in (False, True))
        self._assess = compilation.jit(partial(assess, policy), fast_compile=True)
        self._rng = np.random.default_rng()  # from the system: other draws in every process
        self._memories = Memories(policy.initial_carry)

    def __repr__(self) -> str:
        sizes = sum(np.size(x) for x in jax.tree.leaves(self.params))
        inputs, actions = (" ".join(str(space).split()) for space in (self.observation_space, self.action_space))
        normalised = "normalised" if self.obs_moments is not None else "not normalised"
        return f"Agent(observations {inputs}, {normalised}; actions {actions}; {sizes:,} parameters)"

    if not TYPE_CHECKING:  # to a type checker it would be an attribute of any name

        def __getattr__(self, name: str) -> Any:
            """Only called for names that it has not."""
            answer = f": {ELSEWHERE[name]}" if name in ELSEWHERE else ""
            raise AttributeError(f"an Agent has no attribute {name!r}{answer}")

    @own_numbers()
    def act(
        self,
        obs: Any,
        *,
        sample: bool = False,
        action_mask: Any = None,
        seed: int | None = None,
        rng: np.random.Generator | None = None,
        first: Any = None,
        streams: Any = None,
    ) -> Any:
        """The environment's action for one observation, or ``[B]`` actions for a batch ``[B, ...]``.

        In the action space's dtype; an ``int`` for one Discrete action, a tree for nested spaces.

        ``obs``: one observation of the environment, or a batch: each leaf with an axis in front.
        ``sample``: a random sample instead of the distribution's mode.
        ``action_mask``: which choices are allowed, where that is not part of the observation.
        ``seed``: gives the same sample each time.
        ``rng``: a generator to sample with; without it and ``seed`` samples differ from process to process.
        ``first``: whether the observation opens an episode, a boolean or ``[B]``; by default only after ``reset``.
        ``streams``: which stream of observations each row belongs to, an integer or a string.
        """
        check_randomness(sample, seed, rng)
        batch, single = self._batch(obs, action_mask)
        size = len(jax.tree.leaves(batch)[0])
        generator = rng or (self._rng if seed is None else np.random.default_rng(int(seed)))
        key = key_from_data(generator.integers(0, 2**32, 2, np.uint32))
        choose_fn = self._sample if sample else self._mode
        carry, opens = self._memories.recall(size, first, streams)
        actions, carry = choose_fn(self.params, self.obs_moments, carry, batch, opens, key)
        if self.policy.unroll is not None:
            self._memories.keep(carry, streams)
        pairs = zip(leaves(self.action_space), flatten(self.action_space, actions))
        arrays = [(leaf, np.array(x).astype(leaf.dtype)) for leaf, x in pairs]
        if not single:
            return unflatten(self.action_space, iter([x for _, x in arrays]))
        parts = [int(x[0]) if isinstance(leaf, spaces.Discrete) else x[0] for leaf, x in arrays]
        return unflatten(self.action_space, iter(parts))

    def reset(self, streams: Any = None) -> None:
        """Forget: the next observations, or the next ones of these streams, open episodes."""
        self._memories.forget(streams)

    @own_numbers()
    def value(self, obs: Any, *, action_mask: Any = None, streams: Any = None) -> Any:
        """V(s), a ``float``, or ``[B]``; with ``scale_reward`` in units of the scaled rewards that it learned from."""
        (_, value), single = self._assessed(obs, action_mask, streams)
        return float(value[0]) if single else np.asarray(value)

    @own_numbers()
    def distribution(self, obs: Any, *, action_mask: Any = None, streams: Any = None) -> Distribution:
        """π(. | s) for a batch ``[B, ...]`` (one observation: B = 1), over actions as they are sampled.

        Those of a bounded Box are sampled in units with bounds -1 and 1, a Beta's in (0, 1), Discrete and bins from 0.
        """
        (dist, _), _ = self._assessed(obs, action_mask, streams)
        return dist

    @own_numbers()
    def log_prob(self, obs: Any, action: Any, *, action_mask: Any = None, streams: Any = None) -> Any:
        """log π(action | s) of the environment's actions, a ``float``, or ``[B]``: for a Box a density, summed over it.

        A Gaussian is clipped to the bounds; of an action there it is the density of a sample at the bound. With
        bins it is the probability of the nearest.
        """
        if self.policy.sampled_action is None:
            raise UsageError("this policy does not say how its actions come from samples")
        (dist, _), single = self._assessed(obs, action_mask, streams)
        actions, one = rows_of(self.action_space, action)
        if one is not single:
            raise UsageError(f"{'one action' if one else 'a batch of actions'} for another number of observations")
        sample, volume = self.policy.sampled_action(actions)
        log_prob = np.asarray(dist.log_prob(sample) - volume)
        return float(log_prob[0]) if single else log_prob

    @own_numbers()
    def probabilities(self, obs: Any, *, action_mask: Any = None, streams: Any = None) -> Any:
        """The probability of each choice, ``[n]`` or ``[B, n]``.

        Of a Discrete an array, of a MultiDiscrete, or a Box in bins, a list of one array for each component, of a
        MultiBinary those of the bits to be 1; of nested spaces a tree of these, with None for a Box without bins, which
        has no probabilities. Of actions that are nothing else: ``UsageError``.
        """
        (dist, _), single = self._assessed(obs, action_mask, streams)
        parts = dist.parts if isinstance(dist, Joint) else (dist,)
        kinds = leaves(self.action_space)
        hybrid = not all(map(is_density, kinds, parts))
        tables = [
            None if hybrid and is_density(leaf, part) else choice_probabilities(leaf, part)
            for leaf, part in zip(kinds, parts)
        ]
        if single:
            tables = [row_of(table) for table in tables]
        return unflatten(self.action_space, iter(tables))

    def _assessed(self, obs: Any, action_mask: Any, streams: Any) -> tuple[tuple[Any, jax.Array], bool]:
        """(π(. | s), V(s)), and whether ``obs`` was a single one."""
        batch, single = self._batch(obs, action_mask)
        size = len(jax.tree.leaves(batch)[0])
        carry, first = self._memories.recall(size, streams=streams)  # as ``act`` would next
        return self._assess(self.params, self.obs_moments, carry, batch, first), single

    def _batch(self, obs: Any, action_mask: Any) -> tuple[PyTree, bool]:
        """``stored_batch`` with the mask in it, whichever way that comes; refuses one that allows nothing."""
        if action_mask is None:
            if has_mask(self.observation_space) and not (isinstance(obs, Mapping) and MASK in obs):
                raise UsageError(f"this policy was trained with action masks: pass {self._place_of_mask()}")
            batch, single = stored_batch(self.observation_space, obs)
        else:
            batch, single = self._with_mask(obs, action_mask)
        if has_mask(self.observation_space):
            all_masked = no_action_allowed(self.action_space, np.asarray(mask_of(self.observation_space, batch)))
            if all_masked.any():
                row = "" if single else f" of row {int(np.argmax(all_masked))}"
                raise UsageError(f"the action mask{row} allows no action")
        return batch, single

    def _place_of_mask(self) -> str:
        """Where a mask belongs that is missing."""
        entries = set(self.observation_space.spaces) if isinstance(self.observation_space, spaces.Dict) else set()
        return f"{MASK}=..." if entries == {"obs", MASK} else f"it as the observation's entry {MASK!r}"

    def _with_mask(self, obs: Any, action_mask: Any) -> tuple[PyTree, bool]:
        """``stored_batch`` for a mask that is a separate argument."""
        space = self.observation_space
        if not isinstance(space, spaces.Dict) or not has_mask(space) or "obs" not in space.spaces or len(space) != 2:
            remedy = "put it there" if has_mask(space) else "leave it out"
            setting = "with masks in the observation" if has_mask(space) else "without masks"
            raise UsageError(f"{MASK} was given, but the policy was trained {setting}, on {space}: {remedy}")
        batch, single = stored_batch(space["obs"], obs)
        if single:
            mask = flatten_mask(self.action_space, action_mask)[None]
        else:
            mask = flatten_masks(self.action_space, action_mask, len(jax.tree.leaves(batch)[0]), "observation")
        return {"obs": batch, MASK: (mask > 0).astype(np.int8)}, single

    def save(self, path: str | Path) -> Path:
        """Write the policy to one safetensors file, which ``proximax.load`` reads; an existing file is replaced."""
        refuse([path_problem("path", path)])
        write_agent(Path(path), self.policy, self.params, self.obs_moments, (self.observation_space, self.action_space))
        return Path(path)

    @classmethod
    def from_file(cls, path: str | Path, network: AnyNetwork | None = None) -> "Agent":
        """The policy that ``save`` wrote; ``network``: the custom network of one that has it."""
        return cls(*read_agent(Path(path), network))

    def check_spaces(self, observation_space: Space, action_space: Space) -> None:
        """Refuse an environment with other spaces than the policy was trained on."""
        for role, mine, other in (
            ("observation", self.observation_space, observation_space),
            ("action", self.action_space, action_space),
        ):
            if not compatible(mine, other):
                raise CheckpointError(f"the policy's {role} space is {mine}, the environment's is {other}")


def check_randomness(sample: bool, seed: object, rng: object) -> None:
    """Refuse a seed or a generator that would be ignored, or that is none."""
    given = [name for name, value in (("seed", seed), ("rng", rng)) if value is not None]
    wrong_rng = rng is not None and not isinstance(rng, np.random.Generator)
    refuse(
        [
            "" if seed is None else range_problem("seed", seed, SEED),
            f"rng = {shown(rng)}: must be a numpy.random.Generator" if wrong_rng else "",
            f"{' and '.join(given)}: only for sample=True" if given and not sample else "",
            "seed and rng: give one of them" if len(given) == 2 else "",
        ]
    )


def is_density(leaf: Space, dist: Any) -> bool:
    """Whether actions of one leaf of the action space have densities: those of a Box that is not in bins."""
    return isinstance(leaf, spaces.Box) and not isinstance(dist, MultiCategorical)


def choice_probabilities(leaf: Space, dist: Any) -> Any:
    """The probabilities ``[B, n]`` of the choices of one leaf of the action space."""
    if is_density(leaf, dist):
        raise UsageError(f"probabilities: {leaf} has none, but densities: log_prob, or distribution")
    if isinstance(dist, Categorical):
        return np.asarray(jax.nn.softmax(dist.logits))
    if isinstance(dist, MultiCategorical):
        ends = np.cumsum(dist.sizes)[:-1]
        return [np.asarray(jax.nn.softmax(part)) for part in jnp.split(dist.logits, ends, axis=-1)]
    ones = np.asarray(jax.nn.sigmoid(dist.logits))
    return ones.reshape(len(ones), *(leaf.shape or ()))


def row_of(table: Any) -> Any:
    """The only row of what ``choice_probabilities`` gives of one observation; None stays None."""
    return None if table is None else [x[0] for x in table] if isinstance(table, list) else table[0]


def rows_of(space: Space, action: Any) -> tuple[PyTree, bool]:
    """Actions ``[B, ...]`` of the environment as arrays, and whether ``action`` was a single one."""
    try:
        check_structure(space, action)
        parts = [np.asarray(x) for x in flatten(space, action)]
    except (ValueError, TypeError) as error:
        raise UsageError(f"the action {shown(action)} has not the structure of {space}") from error
    shapes = [leaf.shape or () for leaf in leaves(space)]
    single = all(x.shape == shape for x, shape in zip(parts, shapes))
    for leaf, path, x in zip(leaves(space), paths(space), parts):
        values = x[None] if single else x
        if x.dtype.kind not in "biuf" or values.shape[1:] != leaf.shape:
            raise UsageError(f"action{path} = {shown(x)}: must be in {leaf}, single or as [B, ...]")
        if not isinstance(leaf, spaces.Box) and not all(leaf.contains(np.asarray(v, leaf.dtype)) for v in values):
            raise UsageError(f"action{path} = {shown(x)}: must be in {leaf}")
    return unflatten(space, iter([x[None] if single else x for x in parts])), single


def stored_batch(space: Space, obs: Any) -> tuple[PyTree, bool]:
    """Observations ``[B, ...]`` in their stored dtypes, and whether ``obs`` was a single one."""
    try:
        parts = flatten(space, obs)
        arrays = [np.asarray(x) for x in parts]
        if not all(x.dtype.kind in "biuf" for x in arrays):
            raise TypeError(f"of {', '.join(str(x.dtype) for x in arrays)}, where numbers belong")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UsageError(f"the observation does not have the structure of {space}: {error!r}") from error
    shapes = [leaf.shape or () for leaf in leaves(space)]
    single = all(x.shape == shape for x, shape in zip(arrays, shapes))
    for x, shape, path in zip(arrays, shapes, paths(space)):
        if not single and (x.ndim == 0 or x.shape[1:] != shape):
            raise UsageError(
                f"observation{path} of shape {x.shape}; the policy was trained on {shape}, single or as [B, ...]"
            )
    sizes = [len(x) for x in arrays if not single]
    if len(set(sizes)) > 1:
        raise UsageError(f"the parts of the observation have batches of {sizes}; B must be the same in [B, ...] of all")
    try:
        check_structure(space, obs)
        stored = to_stored(space, unflatten(space, iter(arrays)), "" if single else "row")
        check_ranges(space, stored, None if single else lambda at: f"row {at[0]}")
    except DoesNotFit as error:
        raise UsageError(str(error)) from error
    for path, x in zip(paths(space), flatten(space, stored)):
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
            row, inner = ("", at) if single else (f" of row {at[0]}", at[1:])
            raise UsageError(f"the observation{path}{row} is not finite: {x[at]} at {list(inner)}")
    rows = [np.asarray(x)[None] if single else x for x in flatten(space, stored)]
    return unflatten(space, iter(rows)), single


def split_agents(
    policy: Policy,
    params: Params,
    obs_moments: PyTree,
    observation_space: Space,
    action_space: Space,
) -> list[Agent]:
    """One agent per seed, from arrays with a leading axis S."""
    arrays, structure = jax.tree.flatten((params, obs_moments))
    per_seed = [jax.tree.unflatten(structure, parts) for parts in zip(*(np.asarray(array) for array in arrays))]
    return [Agent(policy, params, moments, observation_space, action_space) for params, moments in per_seed]
