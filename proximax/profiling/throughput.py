"""Where the time of a training run goes: its environments, acting and learning measured apart, and the ceilings.

All is measured with the environments, the sizes and the compiled programs of the run itself.
"""

import time
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Jaxpr, jaxprs_in_params
from jax.interpreters.partial_eval import dce_jaxpr

from proximax.config import Rule, RunConfig, range_problem, refuse, type_problem
from proximax.envs import EnvLike, JaxEnv, can_recreate, env_from_config, env_options, make_env
from proximax.errors import UsageError
from proximax.policy import Policy, make_policy
from proximax.ppo import (
    MAX_UPDATES_PER_CALL,
    HostLearner,
    HostMultiSeedLearner,
    MultiSeedLearner,
    act,
    find_algorithm,
    learn_from_rollout,
    make_multi_seed_learner,
    next_rollout,
)
from proximax.profiling.chunk_sizer import ChunkSizer
from proximax.runtime import SEEDS_SPEC, compilation, map_over_seeds, own_settings, refuse_fork, shard_over_devices
from proximax.spaces import observations_at
from proximax.types import Acted, Array, Key, Metrics, PyTree, Step, TrainState, Transition

PRODUCT = 1024  # size of the matrix product that is the ceiling


class UpdateParts(NamedTuple):
    """The parts of an update, to be called alone."""

    calls: dict[str, Callable[[], Any]]  # environment, acting, learning
    learning: jax.stages.Lowered  # its program
    rollout: Transition  # ``[S, T, N, ...]``


class ThroughputReport(NamedTuple):
    """What was measured; seconds are of one update, all seeds together."""

    steps: int
    whole: float  # seconds, as trained
    parts: dict[str, float]  # seconds of each part alone
    operations: int  # floating-point ones of the matrix products in learning, two for each multiply-add
    product: float  # floating-point operations per second of a large matrix product: the machine's ceiling
    rollout_bytes: int  # of a rollout, all seeds together
    learning_bytes: int  # what learning needs beside rollout and state while it runs

    @property
    def share(self) -> float:
        """Share of the ceiling that learning reaches."""
        return self.operations / self.parts["learning"] / self.product


@own_settings()
def bench(config: RunConfig, env: EnvLike | None = None, seconds: float = 2.0) -> ThroughputReport:
    """Measure a run of ``config``, each part for about ``seconds``. ``env`` stands in for an object, as in ``run``."""
    refuse(
        [
            type_problem("config", config, RunConfig, "a RunConfig"),
            range_problem("seconds", seconds, Rule(0, open_low=True)),
        ]
    )
    config.check()
    if config.shards > 1:
        raise UsageError(f"shards = {config.shards}: bench measures what one process does alone; leave shards out")
    refuse_fork()
    compilation.prepare(config.seeds)
    source = env_from_config(config, env)
    options = env_options(config)
    env = make_env(source, config.num_envs, groups=config.seeds, env_groups=config.env_groups, **options)
    try:
        policy = make_policy(env.observation_space, env.action_space, config.ppo, config.network)
        learner = make_multi_seed_learner(env, policy, config)
        whole, state = whole_run(learner, seconds)
        if isinstance(learner, HostMultiSeedLearner):
            parts = host_parts(learner.learner, state)
        else:
            assert isinstance(env, JaxEnv)
            parts = jax_parts(env, policy, config, state)
        part_seconds = {name: seconds_of(call, seconds) for name, call in parts.calls.items()}
        operations = config.seeds * learning_operations(policy, config, state, parts.rollout)
        memory = parts.learning.compile().memory_analysis()
    finally:
        if can_recreate(source) and not isinstance(env, JaxEnv):
            env.close()
    return ThroughputReport(
        steps=config.batch_size * config.seeds,
        whole=whole,
        parts=part_seconds,
        operations=operations,
        product=product_speed(seconds),
        rollout_bytes=sum(x.nbytes for x in jax.tree.leaves(parts.rollout)),
        learning_bytes=memory.temp_size_in_bytes if memory else 0,
    )


def seconds_of(call: Callable[[], Any], seconds: float) -> float:
    """Median seconds of a call, after one to warm up."""
    times: list[float] = []
    jax.block_until_ready(call())
    while sum(times) < seconds or len(times) < 3:
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return float(np.median(times))


def whole_run(learner: MultiSeedLearner, seconds: float) -> tuple[float, TrainState]:
    """(seconds of an update as trained, the state reached), the first update left out."""
    chunks, updates, elapsed = ChunkSizer(), 0, 0.0
    state, _ = learner.advance(learner.init(), chunks.next(1))
    while elapsed < seconds or updates < 3:
        began = time.perf_counter()
        state, metrics = learner.advance(state, chunks.next(MAX_UPDATES_PER_CALL))
        elapsed, updates = elapsed + time.perf_counter() - began, updates + len(metrics["finite"])
    return elapsed / updates, state


def host_parts(learner: HostLearner, state: TrainState) -> UpdateParts:
    """The parts of an update on host environments, which are at ``state``."""
    after, rollout, _ = learner.collect(state)
    act_fn, num_steps = learner.act_fn(state), len(rollout.first)
    actions = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), rollout.action)
    env_actions = jax.tree.map(
        lambda x: np.asarray(x).reshape(num_steps, -1, *x.shape[1:]), learner.policy.env_action(actions)
    )
    observations = [observations_at(rollout.obs, t) for t in range(num_steps)]

    def step_envs() -> None:
        for t in range(num_steps):
            learner.env.step(jax.tree.map(lambda x, t=t: x[t].copy(), env_actions))

    def act_only() -> Acted:
        for t in range(num_steps):
            acted = act_fn(after.carry, observations[t], rollout.first[t], (t, 0))
        return acted

    return UpdateParts(
        calls={"environment": step_envs, "acting": act_only, "learning": lambda: learner.learn(state, rollout)},
        learning=learner.lower_learning(state, rollout),
        rollout=jax.tree.map(lambda x: np.moveaxis(x, 0, 1), rollout),
    )


def jax_parts(env: JaxEnv, policy: Policy, config: RunConfig, state: TrainState) -> UpdateParts:
    """The parts of an update on JAX environments."""

    def compiled(function: Callable[..., Any], num_arguments: int) -> Any:
        inputs = (SEEDS_SPEC,) * num_arguments
        mapped = partial(map_over_seeds, function)
        return compilation.jit(shard_over_devices(mapped, config.seeds, inputs, SEEDS_SPEC))

    rollout = compiled(partial(roll, env, policy, config), 1)(state)
    learning = compiled(learning_function(policy, config), 2)
    return UpdateParts(
        calls={
            "environment": partial(compiled(partial(environment_alone, env, policy), 2), state, rollout),
            "acting": partial(compiled(partial(acting_alone, policy), 2), state, rollout),
            "learning": partial(learning, state, rollout),
        },
        learning=learning.lower(state, rollout),
        rollout=rollout,
    )


def roll(env: JaxEnv, policy: Policy, config: RunConfig, state: TrainState) -> Transition:
    """The next rollout."""
    return next_rollout(env, policy, config, state)[1]


def environment_alone(env: JaxEnv, policy: Policy, state: TrainState, rollout: Transition) -> Any:
    """The steps of a rollout, with its actions but without its policy."""

    def step(env_state: PyTree, inputs: tuple[Key, PyTree]) -> tuple[PyTree, Step]:
        key, action = inputs
        keys = jax.random.split(key, rollout.reward.shape[1])
        return jax.vmap(env.step)(keys, env_state, policy.env_action(action))

    keys = jax.random.split(state.key, rollout.reward.shape[0])
    return jax.lax.scan(step, state.rollout.env_state, (keys, rollout.action))


def acting_alone(policy: Policy, state: TrainState, rollout: Transition) -> Any:
    """The actions for the observations of a rollout, without its environments."""

    def step(carry: PyTree, inputs: tuple[Key, PyTree, Array]) -> tuple[PyTree, tuple[PyTree, Array]]:
        key, obs, first = inputs
        acted = act(policy, state.params, state.obs_moments, carry, obs, first, key)
        return acted.carry, (acted.env_action, acted.log_prob)

    keys = jax.random.split(state.key, rollout.reward.shape[0])
    return jax.lax.scan(step, state.rollout.carry, (keys, rollout.obs, rollout.first))


def learning_function(
    policy: Policy, config: RunConfig
) -> Callable[[TrainState, Transition], tuple[TrainState, Metrics]]:
    """Learning from a rollout, for one seed."""
    algorithm = find_algorithm(config.algo, None)
    return lambda state, rollout: learn_from_rollout(algorithm, policy, config, state, rollout, state.key)


def learning_operations(policy: Policy, config: RunConfig, state: TrainState, rollout: Transition) -> int:
    """Floating-point operations of one seed's learning, without those whose results are not used."""
    state, rollout = jax.tree.map(lambda x: x[0], (state, rollout))
    traced = jax.make_jaxpr(learning_function(policy, config))(state, rollout).jaxpr
    needed, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
    return count_operations(needed)


def count_operations(jaxpr: Jaxpr) -> int:
    """Floating-point operations of the matrix products and convolutions in a traced function.

    Of branches the most expensive counts; a loop whose length is not known beforehand counts once.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, settings = equation.primitive.name, equation.params
        shapes: list[Any] = [getattr(x.aval, "shape", ()) for x in (*equation.invars, *equation.outvars)]
        if name == "dot_general":
            (contracted, _), _ = settings["dimension_numbers"]
            total += 2 * prod(shapes[0][axis] for axis in contracted) * prod(shapes[-1])
        elif name == "conv_general_dilated":
            kernel, outputs = shapes[1], settings["dimension_numbers"].rhs_spec[0]
            total += 2 * prod(kernel) // kernel[outputs] * prod(shapes[-1])
        else:
            inside = [count_operations(sub) for sub in jaxprs_in_params(settings)]
            times = settings["length"] if name == "scan" else 1
            total += times * (max(inside, default=0) if name == "cond" else sum(inside))
    return total


def product_speed(seconds: float) -> float:
    """Floating-point operations per second of a product of two square matrices, on the default device."""
    x = jnp.full((PRODUCT, PRODUCT), 1 / PRODUCT)
    times = 4
    program = compilation.jit(lambda x: jax.lax.fori_loop(0, times, lambda _, y: y @ x, x))
    return float(2 * PRODUCT**3 * times / seconds_of(lambda: program(x), seconds))
