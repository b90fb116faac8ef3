"""All seeds, many updates to a call: what stands between one seed's learner and the loop that logs and saves.

On JAX environments one compiled program makes as many updates as it is asked for, seeds side by side in ``vmap`` and
shared out among the devices (on CPU: the cores). On host environments a call is one update.
"""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from proximax.config import RunConfig
from proximax.envs import HostEnv, JaxEnv
from proximax.policy import Policy
from proximax.ppo.host_learner import make_host_learner
from proximax.ppo.learner import make_learner, update_succeeded
from proximax.ppo.records import Algorithm
from proximax.ppo.seed_axis import stack_seeds
from proximax.runtime import compilation, seed_key
from proximax.types import Metrics, TrainState

MAX_UPDATES_PER_CALL = 1024  # in a call
SEEDS_SPEC = PartitionSpec("seeds")  # the first axis is shared out among devices
SECONDS_PER_CALL = 0.25  # a call's length to aim for: progress is shown, and a run can be interrupted, that often
# Seeds that one core works on at once; more do not fit its cache: 64 seeds of gymnax CartPole-v1 on 2 cores take 52 ms
# an update with all at once, 39 ms with 8.
SEEDS_PER_CORE = 8
Loop = tuple[jax.Array, TrainState, Metrics, jax.Array]  # updates made, their state, their metrics, all good so far
# (state, updates) -> (state, metrics of each update ``[updates, S, ...]``); ends early after one that was not good
AdvanceFn = Callable[[TrainState, int], tuple[TrainState, Metrics]]


class MultiSeedLearner(NamedTuple):
    """The learner of all seeds."""

    advance: AdvanceFn
    state: TrainState  # the first one, ``[S, ...]``
    rollout: Callable[[TrainState], Any]  # what the update after a state learns from, ``[T, S, N, ...]``


def make_multi_seed_learner(
    env: JaxEnv | HostEnv, policy: Policy, config: RunConfig, own: Algorithm | None = None
) -> MultiSeedLearner:
    """The learner of all seeds, and its first state."""
    keys = [seed_key(config.seed + i) for i in range(config.seeds)]
    if not isinstance(env, JaxEnv):
        learner = make_host_learner(env, policy, config, own)
        return MultiSeedLearner(partial(step_host, learner.step), learner.init(keys), learner.rollout)
    one = make_learner(env, policy, config, own)
    compiled = compile_updates(partial(map_over_seeds, one.step), config.seeds)
    state = stack_seeds([one.init(key) for key in keys])
    # Looked at only after a fault: the learner itself never lets a rollout out of its program.
    again = compilation.jit(jax.vmap(one.rollout, out_axes=1))
    return MultiSeedLearner(partial(step_compiled, compiled), jax.device_put(state, seed_sharding(config.seeds)), again)


def step_host(
    step: Callable[[TrainState], tuple[TrainState, Metrics]], state: TrainState, updates: int
) -> tuple[TrainState, Metrics]:
    """One update, whatever was asked for."""
    state, metrics = step(state)
    return state, jax.tree.map(lambda x: np.asarray(x)[None], metrics)


def step_compiled(compiled: Callable[..., Any], state: TrainState, updates: int) -> tuple[TrainState, Metrics]:
    """``updates`` of them, MAX_UPDATES_PER_CALL at most."""
    updates = min(updates, MAX_UPDATES_PER_CALL)
    state, metrics = compiled(state, np.int32(updates))
    return state, jax.tree.map(lambda x: x[:updates], jax.device_get(metrics))


def compile_updates(
    step: Callable[[TrainState], tuple[TrainState, Metrics]], seeds: int
) -> Callable[[TrainState, Any], tuple[TrainState, Metrics]]:
    """(state, updates) -> (state, metrics ``[MAX_UPDATES_PER_CALL, S, ...]``) in one program.

    The state is not donated: a call that is interrupted must leave the state before it.
    """
    later = PartitionSpec(None, "seeds")
    return compilation.jit(
        shard_over_devices(partial(run_updates, step), seeds, (SEEDS_SPEC, PartitionSpec()), (SEEDS_SPEC, later))
    )


def shard_over_devices(function: Callable[..., Any], seeds: int, inputs: Any, outputs: Any) -> Callable[..., Any]:
    """``function`` of arrays ``[S, ...]``, each device working on its share of the seeds."""
    mesh = seed_sharding(seeds).mesh
    if mesh.size == 1:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)


def seed_sharding(seeds: int) -> NamedSharding:
    """Which devices have which seeds: as many devices as can share them equally."""
    devices = jax.devices()[: math.gcd(seeds, len(jax.devices()))]
    return NamedSharding(Mesh(np.array(devices), ("seeds",)), SEEDS_SPEC)


def map_over_seeds(function: Callable[..., Any], *arguments: Any) -> Any:
    """``function`` of one seed, for all seeds ``[S, ...]`` of one device: at once, on CPU a few at a time."""
    seeds = jax.tree.leaves(arguments)[0].shape[0]
    if seeds > SEEDS_PER_CORE and jax.default_backend() == "cpu":
        return jax.lax.map(lambda each: function(*each), arguments, batch_size=SEEDS_PER_CORE)
    # Also for one seed: XLA multiplies faster with a leading axis of 1 (64 environments: 12.1 ms instead of 13.8).
    return jax.vmap(function)(*arguments)


def run_updates(
    step: Callable[[TrainState], tuple[TrainState, Metrics]], state: TrainState, updates: jax.Array
) -> tuple[TrainState, Metrics]:
    """``updates`` steps, or fewer if one is not good: (state, metrics of each ``[MAX_UPDATES_PER_CALL, ...]``)."""
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


class ChunkSizer:
    """How many updates to ask for, so that a call takes about CALL_SECONDS; the first, which compiles, makes one."""

    def __init__(self) -> None:
        self._asked, self._when = 0, 0.0

    def next(self, most: int) -> int:
        """At most ``most``, and at most four times as many as the last time."""
        now = time.perf_counter()
        ideal = self._asked * SECONDS_PER_CALL / max(now - self._when, 1e-6)
        self._asked, self._when = max(int(min(ideal, 4 * self._asked, MAX_UPDATES_PER_CALL, most)), 1), now
        return self._asked
