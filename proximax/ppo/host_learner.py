"""The learner of environments outside the program: all seeds, one compiled call per step and one per update."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from proximax.config import RunConfig, refuse, shown, type_problem
from proximax.envs import HostEnv, JaxEnv, env_seeds
from proximax.policy import Policy
from proximax.ppo.algorithms import find_algorithm
from proximax.ppo.host_rollout import collect, host_buffers, reset_host_envs
from proximax.ppo.learner import initial_train_state, learn_from_rollout
from proximax.ppo.records import Algorithm, Episodes
from proximax.ppo.rollout import act
from proximax.ppo.seed_axis import stack_seeds
from proximax.ppo.shards import EVERYWHERE, rollout_specs, state_specs
from proximax.runtime import (
    as_threefry2x32,
    compilation,
    join_parts,
    key_from_data,
    largest,
    local_shards,
    map_over_shards,
    on_this_device,
    place_parts,
    place_whole,
    split_on_host,
    vmap_seeds,
    whole,
)
from proximax.types import Acted, ActFn, Array, Key, Metrics, Params, PyTree, RolloutState, TrainState, Transition


class HostLearner:
    """``config.algo`` on environments outside the program, for S seeds at once; states and metrics are ``[S, ...]``.

    It owns S x N environments, seed by seed, whose state is not part of ``TrainState``: each ``step`` moves them on.
    And it owns the memory of one rollout, which every ``step`` overwrites. Acting is one compiled call per time step,
    learning one per rollout; seeds are vmapped in both.
    """

    def __init__(
        self,
        env: HostEnv,
        policy: Policy,
        config: RunConfig,
        custom_algorithm: Algorithm | None = None,
    ) -> None:
        """``custom_algorithm``: the algorithm where ``config.algo`` is not a built-in one."""
        self.env, self.policy, self.config = env, policy, config
        self.algorithm = find_algorithm(config.algo, custom_algorithm)
        # Allocated by the first rollout, then overwritten by every one. Stacked frames are in a ``FrameStore`` here.
        self.last_rollout: Transition | None = None
        acting = partial(act_for_group, policy)
        learning = partial(learn_from_host_rollout, self.algorithm, policy, config)
        self._act_program = compilation.jit(
            vmap_seeds(acting, config.seeds, (0, 0, 0, 0, 0, 0, None)), fast_compile=True
        )
        learn = vmap_seeds(learning, config.seeds, (0, 1))
        if config.shards > 1:
            specs = without_rollout(state_specs())
            learn = map_over_shards(learn, config.shards, (specs, rollout_specs(env.stacked)), (specs, EVERYWHERE))
        self._learn_program = compilation.jit(learn, fast_compile=True)

    def init(self, keys: Sequence[Key]) -> TrainState:
        """Reset the environments, by seeds that follow from ``config.seed``; draw parameters by the S ``keys``."""
        env, policy, config = self.env, self.policy, self.config
        seeds = [config.seed + i for i in range(config.seeds)]
        rollout = self.reset([env_seeds(seed, config.num_envs) for seed in seeds])
        states: list[TrainState] = []
        for i, key in enumerate(keys):
            key, key_params = split_on_host(key, 2)
            seed_rollout = jax.tree.map(lambda x, i=i: x[i], rollout)
            states.append(initial_train_state(self.algorithm, env, policy, config, key, key_params, seed_rollout))
        return stack_seeds(states)._replace(rollout=rollout)

    def reset(self, seeds: list[list[int]]) -> RolloutState:
        """New episodes in all environments, those of other processes too; ``seeds[s][n]``: of environment n."""
        mine = [seeds_of_one[self.columns] for seeds_of_one in seeds]
        return join_parts(reset_host_envs(self.env, self.policy, mine), 1, self.config.shards)

    @property
    def columns(self) -> slice:
        """The numbers of this process's environments among each seed's."""
        shards, size = local_shards(self.config.shards), self.config.num_envs // self.config.shards
        return slice(shards.start * size, shards.stop * size)

    def place(self, state: TrainState) -> TrainState:
        """A whole state as ``step`` takes it: with this process's environments, the rest on the shards' devices."""
        if self.config.shards == 1:
            return state
        rollout = jax.tree.map(lambda x: np.asarray(x)[:, self.columns], state.rollout)
        placed = place_whole(without_rollout(state), without_rollout(state_specs()), self.config.shards)
        return placed._replace(rollout=rollout)

    def whole(self, state: TrainState) -> TrainState:
        """``state`` with the environments of all processes, which must all call this."""
        if self.config.shards == 1:
            return state
        return whole(without_rollout(state))._replace(rollout=join_parts(state.rollout, 1, self.config.shards))

    def step(self, state: TrainState) -> tuple[TrainState, Metrics]:
        """One update: a rollout, then learning from it. ``state`` must be the one that the environments are at."""
        rollout, transitions, episodes = self.collect(state)
        learned, metrics = self.learn(state, transitions)
        # The buffers are lent to the program without a copy: wait before the next rollout overwrites them.
        learned = jax.block_until_ready(learned)._replace(rollout=rollout)
        episodes = join_parts(episodes, 0, self.config.shards)
        return learned, metrics | jax.tree.map(lambda x: x.sum(axis=0), episodes)

    def act_fn(self, state: TrainState) -> ActFn:
        """Acting by the policy of ``state``, all seeds in one compiled call."""
        key_data = np.asarray(jax.random.key_data(state.key))  # a key itself would cost 10 us per call
        params, moments, offset = state.params, state.obs_moments, self.columns.start
        if self.config.shards > 1:
            params, moments = on_this_device((params, moments))
        act_fn = partial(self._act_program, params, moments, key_data)
        if offset == 0:
            return act_fn
        return lambda carry, obs, first, at: act_fn(carry, obs, first, (at[0], at[1] + offset))

    def collect(self, state: TrainState) -> tuple[RolloutState, Transition, Episodes]:
        """The next rollout ``[T, S, N, ...]``, in the memory of ``last_rollout``, which the one after it overwrites."""
        act_fn, begin = self.act_fn(state), state.rollout
        if self.last_rollout is None:
            example = act_fn(begin.carry, begin.obs, begin.first, (0, 0))
            self.last_rollout = host_buffers(self.config.ppo.num_steps, begin, example.action, self.env.stacked)
        shards = len(local_shards(self.config.shards))
        return collect(self.env, act_fn, begin, self.last_rollout, shards, self.config.seed)

    def learn(self, state: TrainState, transitions: Transition) -> tuple[TrainState, Metrics]:
        """``learn_from_rollout`` of all seeds; the environments' state is left out, as ``()``."""
        return self._learn_program(without_rollout(state), self.placed(transitions))

    def placed(self, transitions: Transition) -> Transition:
        """A rollout of this process's environments on the devices of its shards, where there are several."""
        shards, obs = self.config.shards, transitions.obs
        if shards == 1:
            return transitions
        if self.env.stacked:  # of which every process may have another number of frames
            more = largest(len(obs.frames)) - len(obs.frames)
            padded = np.pad(obs.frames, [(0, more)] + [(0, 0)] * (obs.frames.ndim - 1)) if more else obs.frames
            transitions = transitions._replace(obs=obs._replace(frames=padded))
        return place_parts(transitions, rollout_specs(self.env.stacked), shards)

    def lower_learning(self, state: TrainState, transitions: Transition) -> jax.stages.Lowered:
        """The program of ``learn``, lowered for its arguments: to see what it needs."""
        return self._learn_program.lower(without_rollout(state), self.placed(transitions))


def make_host_learner(
    env: HostEnv, policy: Policy, config: RunConfig, custom_algorithm: Algorithm | None = None
) -> HostLearner:
    """``config.algo`` on environments outside the program, for S seeds at once.

    ``env``: S N environments, those of a seed one after the other. ``policy``: as ``make_policy`` gives it. ``config``:
    of the run. ``custom_algorithm``: one that is not built in.
    """
    kinds = ("policy", policy, Policy), ("config", config, RunConfig)
    problems = [type_problem(name, value, kind, f"a {kind.__name__}") for name, value, kind in kinds]
    is_host = hasattr(env, "receive") and not isinstance(env, JaxEnv)
    refuse([*problems, "" if is_host else f"env = {shown(env)}: must be a HostEnv, as make_env gives it"])
    return HostLearner(env, policy, config, custom_algorithm)


def without_rollout(state: TrainState) -> TrainState:
    """``state`` as the compiled programs take it: where acting stands is not part of them."""
    return state._replace(rollout=())  # type: ignore[arg-type]


def act_for_group(
    policy: Policy,
    params: Params,
    moments: PyTree,
    key_data: Array,
    carry: PyTree,
    obs: PyTree,
    first: Array,
    step_and_env_offset: tuple[Array, Array],
) -> Acted:
    """``rollout.act`` at (t, number of the first environment) of a rollout whose key has this data.

    An environment's key depends on its own number, and not on which others act at the same time.
    """
    t, env_offset = step_and_env_offset
    key, numbers = jax.random.fold_in(key_from_data(key_data), t), env_offset + jnp.arange(first.shape[0])
    return act(policy, params, moments, carry, obs, first, jax.vmap(partial(jax.random.fold_in, key))(numbers))


def learn_from_host_rollout(
    algorithm: Algorithm, policy: Policy, config: RunConfig, state: TrainState, transitions: Transition
) -> tuple[TrainState, Metrics]:
    """``learn_from_rollout`` after a rollout whose actions used ``fold_in(key, t)`` for t < T."""
    key, key_update = jax.random.split(jax.random.fold_in(as_threefry2x32(state.key), config.ppo.num_steps))
    state = state._replace(key=key_from_data(jax.random.key_data(key)))
    return learn_from_rollout(algorithm, policy, config, state, transitions, key_update)
