"""All seeds, many updates to a call: what stands between one seed's learner and the loop that logs and saves.

On JAX environments one compiled program makes as many updates as it is asked for, seeds side by side in ``vmap`` and
divided among the devices (on CPU: the cores). On host environments a call is one update.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import PartitionSpec

from proximax.config import RunConfig
from proximax.envs import HostEnv, JaxEnv
from proximax.policy import Policy
from proximax.ppo.host_learner import HostLearner
from proximax.ppo.learner import make_learner, next_rollout, update_succeeded
from proximax.ppo.records import Algorithm
from proximax.ppo.seed_axis import stack_seeds
from proximax.ppo.shards import EVERYWHERE, IN_ROLLOUT, state_specs
from proximax.runtime import (
    SEEDS_SPEC,
    compilation,
    map_over_seeds,
    map_over_shards,
    place_whole,
    seed_key,
    seed_sharding,
    shard_over_devices,
    whole,
)
from proximax.types import Key, Metrics, RolloutState, TrainState, Transition

MAX_UPDATES_PER_CALL = 1024
Loop = tuple[jax.Array, TrainState, Metrics, jax.Array]  # updates made, their state, their metrics, all good so far


class MultiSeedLearner(Protocol):
    """What a training loop needs of the learner of all seeds, whichever environments it learns from."""

    def init(self) -> TrainState:
        """The state before the first update, ``[S, ...]``; host environments are reset."""
        ...

    def reset_envs(self, seeds: list[list[int]]) -> RolloutState:
        """New episodes in the host environments of all processes; ``seeds[s][n]``: of environment n of seed s."""
        ...

    def place(self, state: TrainState) -> TrainState:
        """``state`` as ``advance`` takes it, from one that ``init`` or ``whole`` gave, or that was saved."""
        ...

    def whole(self, state: TrainState) -> TrainState:
        """``state`` with all shards' environments, of other processes too, which must all call this."""
        ...

    def advance(self, state: TrainState, updates: int) -> tuple[TrainState, Metrics]:
        """At least one update and at most ``updates``: (state, metrics of each update made ``[updates, S, ...]``).

        Ends early after an update that failed, which leaves the state as it was before it.
        """
        ...

    def failed_rollout(self, state: TrainState) -> Transition | None:
        """The rollout ``[T, S, N, ...]`` of the update that failed at ``state``; None if there was none yet."""
        ...


class JaxMultiSeedLearner:
    """Seeds of JAX environments: one compiled program makes many updates of all of them. Has no side effects."""

    def __init__(
        self,
        env: JaxEnv,
        policy: Policy,
        config: RunConfig,
        custom_algorithm: Algorithm | None = None,
    ) -> None:
        """As of ``make_learner``, for ``config.seeds``."""
        self.config, self._learner = config, make_learner(env, policy, config, custom_algorithm)
        step = partial(map_over_seeds, self._learner.step)
        # Called only after a failure: the learner itself never lets a rollout out of its program.
        rollout = jax.vmap(lambda state: next_rollout(env, policy, config, state)[1], out_axes=1)
        self._updates_program, self._rollout_program = self._compile(partial(run_updates, step), rollout)

    def _compile(self, updates: Callable[..., Any], rollout: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
        """(updates, rollout) as programs: seeds are divided among the devices.

        The state is not donated: a call that is interrupted must leave the state before it.
        """
        inputs, outputs = (SEEDS_SPEC, PartitionSpec()), (SEEDS_SPEC, PartitionSpec(None, "seeds"))
        divided = shard_over_devices(updates, self.config.seeds, inputs, outputs)
        return compilation.jit(divided), compilation.jit(rollout)

    def init(self) -> TrainState:
        """The states of seeds ``config.seed``, ``config.seed + 1``, ..., stacked and on their devices."""
        state = stack_seeds([self._learner.init(key) for key in seed_keys(self.config)])
        return jax.device_put(state, seed_sharding(self.config.seeds))

    def reset_envs(self, seeds: list[list[int]]) -> RolloutState:
        """Their state is a part of the run's."""
        raise NotImplementedError

    def place(self, state: TrainState) -> TrainState:
        """As ``init`` places it."""
        return jax.device_put(state, seed_sharding(self.config.seeds))

    def whole(self, state: TrainState) -> TrainState:
        """As it is: one process has everything."""
        return state

    def advance(self, state: TrainState, updates: int) -> tuple[TrainState, Metrics]:
        """As many updates as asked for, MAX_UPDATES_PER_CALL at most, or fewer if one failed."""
        updates = min(updates, MAX_UPDATES_PER_CALL)
        state, metrics = self._updates_program(state, np.int32(updates))
        return state, jax.tree.map(lambda x: x[:updates], jax.device_get(metrics))

    def failed_rollout(self, state: TrainState) -> Transition:
        """Collected again from ``state``, to the bit."""
        return self._rollout_program(state)


class ShardedJaxLearner(JaxMultiSeedLearner):
    """The same on several shards, which may be of several processes: one program makes many updates on all devices."""

    def _compile(self, updates: Callable[..., Any], rollout: Callable[..., Any]) -> tuple[Callable[..., Any], ...]:
        """The programs: environments are divided among the devices of the shards."""
        shards, specs = self.config.shards, state_specs()
        updates = map_over_shards(updates, shards, (specs, EVERYWHERE), (specs, EVERYWHERE))
        return compilation.jit(updates), compilation.jit(map_over_shards(rollout, shards, (specs,), IN_ROLLOUT))

    def init(self) -> TrainState:
        """The states of all seeds, with the environments of all shards, stacked."""
        return stack_seeds([self._learner.init(key) for key in seed_keys(self.config)])

    def place(self, state: TrainState) -> TrainState:
        """On the devices of the shards."""
        return place_whole(state, state_specs(), self.config.shards)

    def whole(self, state: TrainState) -> TrainState:
        """With the environments of all shards."""
        return whole(state)

    def failed_rollout(self, state: TrainState) -> Transition:
        """Collected again from ``state``, to the bit."""
        return whole(super().failed_rollout(state))


class HostMultiSeedLearner:
    """Seeds of environments outside the program: one update to a call, which moves the environments on."""

    def __init__(self, learner: HostLearner) -> None:
        self.learner = learner

    def init(self) -> TrainState:
        """Reset all environments; the states of seeds ``config.seed``, ``config.seed + 1``, ..., stacked."""
        return self.learner.init(seed_keys(self.learner.config))

    def reset_envs(self, seeds: list[list[int]]) -> RolloutState:
        """By these seeds instead of the run's."""
        return self.learner.reset(seeds)

    def place(self, state: TrainState) -> TrainState:
        """Of several shards what is learned on their devices; the environments' part is this process's."""
        return self.learner.place(state)

    def whole(self, state: TrainState) -> TrainState:
        """With the environments of all processes."""
        return self.learner.whole(state)

    def advance(self, state: TrainState, updates: int) -> tuple[TrainState, Metrics]:
        """One update, however many are allowed: between two, the run can be interrupted."""
        assert updates >= 1
        state, metrics = self.learner.step(state)
        return state, jax.tree.map(lambda x: np.asarray(x)[None], metrics)

    def failed_rollout(self, state: TrainState) -> Transition | None:
        """The last rollout there was: environments cannot go back to ``state``."""
        return self.learner.last_rollout


def make_multi_seed_learner(
    env: JaxEnv | HostEnv,
    policy: Policy,
    config: RunConfig,
    custom_algorithm: Algorithm | None = None,
) -> MultiSeedLearner:
    """The learner of all ``config.seeds``, by the kind of ``env``."""
    if isinstance(env, JaxEnv):
        kind = JaxMultiSeedLearner if config.shards == 1 else ShardedJaxLearner
        return kind(env, policy, config, custom_algorithm)
    return HostMultiSeedLearner(HostLearner(env, policy, config, custom_algorithm))


def seed_keys(config: RunConfig) -> list[Key]:
    """The key of each seed."""
    return [seed_key(config.seed + i) for i in range(config.seeds)]


def run_updates(
    step: Callable[[TrainState], tuple[TrainState, Metrics]], state: TrainState, updates: jax.Array
) -> tuple[TrainState, Metrics]:
    """``updates`` steps, or fewer if one is not good: (state, metrics of each ``[MAX_UPDATES_PER_CALL, ...]``)."""
    step = jax.jit(step, inline=True)  # traced once, though asked twice
    rows = jax.tree.map(lambda x: jnp.zeros((MAX_UPDATES_PER_CALL, *x.shape), x.dtype), jax.eval_shape(step, state)[1])

    def more(loop: Loop) -> jax.Array:
        return (loop[0] < updates) & loop[3]

    def body(loop: Loop) -> Loop:
        i, state, rows, _ = loop
        state, metrics = step(state)
        rows = jax.tree.map(lambda row, x: row.at[i].set(x), rows, metrics)
        return i + 1, state, rows, jnp.all(update_succeeded(metrics))

    _, state, rows, _ = jax.lax.while_loop(more, body, (jnp.zeros((), jnp.int32), state, rows, jnp.ones((), bool)))
    return state, rows
