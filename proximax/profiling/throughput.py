"""What the time of a training run goes to: its environments, acting and learning measured apart, and the ceilings.

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

from proximax.config import RunConfig
from proximax.envs import EnvLike, HostEnv, JaxEnv, can_recreate, env_from_config, env_options, make_env
from proximax.policy import Policy, make_policy
from proximax.ppo import (
    MAX_UPDATES_PER_CALL,
    SEEDS_SPEC,
    AdvanceFn,
    ChunkSizer,
    act,
    collect,
    compile_acting,
    compile_learning,
    find_algorithm,
    host_buffers,
    learn_from_rollout,
    make_multi_seed_learner,
    map_over_seeds,
    shard_over_devices,
    unroll,
)
from proximax.runtime import compilation
from proximax.spaces import observations_at
from proximax.types import Acted, Array, Key, Metrics, PyTree, Step, TrainState, Transition

PRODUCT = 1024  # rows and columns of the matrix product that is the ceiling
Calls = dict[str, Callable[[], Any]]  # environment, acting, learning: each part of an update alone


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


def bench(config: RunConfig, env: EnvLike | None = None, seconds: float = 2.0) -> ThroughputReport:
    """Measure a run of ``config``, each part for about ``seconds``. ``env`` stands in for an object, as in ``run``."""
    config.check()
    compilation.prepare(config.seeds)
    env = env_from_config(config, env)
    made = make_env(env, config.num_envs, groups=config.seeds, env_groups=config.env_groups, **env_options(config))
    try:
        policy = make_policy(made.observation_space, made.action_space, config.ppo, config.network)
        advance, state, _ = make_multi_seed_learner(made, policy, config)
        whole, state = whole_run(advance, state, seconds)
        if isinstance(made, JaxEnv):
            calls, transitions = jax_parts(made, policy, config, state)
        else:
            calls, transitions = host_parts(made, policy, config, state)
        parts = {name: seconds_of(call, seconds) for name, call in calls.items()}
        one = jax.tree.map(lambda x: x[0], (state, transitions))
        traced = jax.make_jaxpr(learner(policy, config))(*one).jaxpr
        needed, _ = dce_jaxpr(traced, [True] * len(traced.outvars))
        operations = config.seeds * count_operations(needed)
        program: Any = calls["learning"]
        memory = program.func.lower(*program.args).compile().memory_analysis()
    finally:
        if can_recreate(env) and not isinstance(made, JaxEnv):
            made.close()
    return ThroughputReport(
        steps=config.batch_size * config.seeds,
        whole=whole,
        parts=parts,
        operations=operations,
        product=product_speed(seconds),
        rollout_bytes=sum(x.nbytes for x in jax.tree.leaves(transitions)),
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


def whole_run(advance: AdvanceFn, state: TrainState, seconds: float) -> tuple[float, TrainState]:
    """(seconds of an update as trained, the state reached), the first update left out."""
    pace, updates, passed = ChunkSizer(), 0, 0.0
    state, _ = advance(state, pace.next(1))
    while passed < seconds or updates < 3:
        began = time.perf_counter()
        state, metrics = advance(state, pace.next(MAX_UPDATES_PER_CALL))
        passed, updates = passed + time.perf_counter() - began, updates + len(metrics["finite"])
    return passed / updates, state


def host_parts(env: HostEnv, policy: Policy, config: RunConfig, state: TrainState) -> tuple[Calls, Transition]:
    """The parts of an update on host environments, and a rollout ``[S, T, N, ...]``."""
    words, now = np.asarray(jax.random.key_data(state.key)), state.rollout
    act_once = partial(compile_acting(policy, config.seeds), state.params, state.obs_moments, words)
    example = act_once(now.carry, now.obs, now.first, (0, 0)).action
    buffers = host_buffers(config.ppo.num_steps, now, example, env.stacked)
    now, rollout, _ = collect(env, act_once, now, buffers)
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[3:]), rollout.action)
    sent = jax.tree.map(lambda x: np.asarray(x).reshape(len(rollout.first), -1, *x.shape[1:]), policy.env_action(flat))
    learn_seeds = compile_learning(find_algorithm(config.algo, None), policy, config)
    outside: Any = ()
    seen = [observations_at(rollout.obs, t) for t in range(len(rollout.first))]

    def environment() -> None:
        for t in range(len(rollout.first)):
            env.step(jax.tree.map(lambda x, t=t: x[t].copy(), sent))

    def act_only() -> Acted:
        for t in range(len(rollout.first)):
            acted = act_once(now.carry, seen[t], rollout.first[t], (t, 0))
        return acted

    learn_once = partial(learn_seeds, state._replace(rollout=outside), rollout)
    calls: Calls = {"environment": environment, "acting": act_only, "learning": learn_once}
    return calls, jax.tree.map(lambda x: np.moveaxis(x, 0, 1), rollout)


def jax_parts(env: JaxEnv, policy: Policy, config: RunConfig, state: TrainState) -> tuple[Calls, Transition]:
    """The parts of an update on JAX environments, and a rollout ``[S, T, N, ...]``."""

    def compiled(function: Callable[..., Any], *arguments: Any) -> "partial[Any]":
        inputs = (SEEDS_SPEC,) * len(arguments)
        return partial(
            compilation.jit(shard_over_devices(partial(map_over_seeds, function), config.seeds, inputs, SEEDS_SPEC)),
            *arguments,
        )

    rollout = compiled(partial(roll, env, policy, config), state)()
    calls: Calls = {
        "environment": compiled(partial(environment_alone, env, policy), state, rollout),
        "acting": compiled(partial(acting_alone, policy), state, rollout),
        "learning": compiled(learner(policy, config), state, rollout),
    }
    return calls, rollout


def roll(env: JaxEnv, policy: Policy, config: RunConfig, state: TrainState) -> Transition:
    """The next rollout."""
    keys = jax.random.split(state.key, config.ppo.num_steps)
    return unroll(env, policy, state.params, state.obs_moments, state.rollout, keys)[1]


def environment_alone(env: JaxEnv, policy: Policy, state: TrainState, rollout: Transition) -> Any:
    """The steps of a rollout, with its actions but without its policy."""

    def step(env_state: PyTree, row: tuple[Key, PyTree]) -> tuple[PyTree, Step]:
        key, action = row
        keys = jax.random.split(key, rollout.reward.shape[1])
        return jax.vmap(env.step)(keys, env_state, policy.env_action(action))

    keys = jax.random.split(state.key, rollout.reward.shape[0])
    return jax.lax.scan(step, state.rollout.env_state, (keys, rollout.action))


def acting_alone(policy: Policy, state: TrainState, rollout: Transition) -> Any:
    """The actions for the observations of a rollout, without its environments."""

    def step(carry: PyTree, row: tuple[Key, PyTree, Array]) -> tuple[PyTree, tuple[PyTree, Array]]:
        key, obs, first = row
        acted = act(policy, state.params, state.obs_moments, carry, obs, first, key)
        return acted.carry, (acted.env_action, acted.log_prob)

    keys = jax.random.split(state.key, rollout.reward.shape[0])
    return jax.lax.scan(step, state.rollout.carry, (keys, rollout.obs, rollout.first))


def learner(policy: Policy, config: RunConfig) -> Callable[[TrainState, Transition], tuple[TrainState, Metrics]]:
    """What follows a rollout, for one seed."""
    algorithm = find_algorithm(config.algo, None)
    return lambda state, rollout: learn_from_rollout(algorithm, policy, config, state, rollout, state.key)


def count_operations(jaxpr: Jaxpr) -> int:
    """Floating-point operations of the matrix products and convolutions in a traced function.

    Of branches the dearest counts; a loop whose length is not known beforehand counts once.
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
