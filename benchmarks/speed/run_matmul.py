"""Floating-point operations per second of the compiled update, and of bare products: ``run_matmul.py SETTINGS``.

Operations of matrix products only, two for each multiply-add. With P_a, P_c weights of actor and critic, biases left
out, and F weights of the first layer of each, an update of B rows and K epochs takes

    B (2 P_a + 4 P_c)               π and V of the rollout, V of the states it reached
    + K B (6 (P_a + P_c) - 4 F)     forward and backward; nothing flows back to the observations
    + B 2 P_a                       π of the whole rollout afterwards, for the metrics
"""

import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from driver import finish, settings
from run_proximax import PACKAGES, PLAIN

from proximax.algorithms import find_algorithm
from proximax.config import RunConfig
from proximax.envs import make_env
from proximax.keys import seed_key
from proximax.policy import make_policy
from proximax.ppo import learn, make_learner
from proximax.rollout import unroll
from proximax.train import resolve

SECONDS = 2.0  # each is measured for about this long


def operations(config: RunConfig, inputs: int, outputs: int) -> int:
    """Of one update, by the formula above."""
    hidden = config.ppo.hidden
    body = sum(a * b for a, b in pairwise([inputs, *hidden]))
    actor, critic, first = body + hidden[-1] * outputs, body + hidden[-1], inputs * hidden[0]
    rollout = 2 * actor + 4 * critic
    epoch = 6 * (actor + critic) - 4 * first
    return config.batch_size * (rollout + config.ppo.epochs * epoch + 2 * actor)


def seconds_of(call: Callable[[], Any]) -> float:
    """Mean seconds of a call, after two to warm up."""
    jax.block_until_ready((call(), call()))
    began, calls = time.perf_counter(), 0
    while time.perf_counter() - began < SECONDS:
        jax.block_until_ready(call())
        calls += 1
    return (time.perf_counter() - began) / calls


def product_speed(rows: int, width: int) -> float:
    """Operations per second of [rows, width] by [width, width], over and over in one program."""
    times = max(1, 2**31 // (2 * rows * width * width))
    rng = np.random.default_rng(0)
    rotation = jnp.asarray(np.linalg.qr(rng.standard_normal((width, width)))[0], jnp.float32)
    x = jnp.asarray(rng.standard_normal((rows, width)), jnp.float32)
    program = jax.jit(lambda x, w: jax.lax.fori_loop(0, times, lambda _, x: jnp.dot(x, w), x))
    return 2 * rows * width * width * times / seconds_of(lambda: program(x, rotation))


def update_of(s: dict[str, Any]) -> tuple[RunConfig, Callable[[], Any], int, int]:
    """The configuration, the compiled update on a stored rollout, and the network's inputs and outputs."""
    config, _ = resolve(s["env"], "none", {k: v for k, v in PLAIN.items() if k not in ("preset", "quiet")} | s)
    env: Any = make_env(s["env"])
    policy = make_policy(env.observation_space, env.action_space, config.ppo)
    state = make_learner(env, policy, config).init(seed_key(0))
    act = jax.jit(partial(unroll, env, policy))
    keys = jax.random.split(jax.random.key(1), config.ppo.num_steps)
    _, rollout, _ = act(state.params, state.obs_moments, state.rollout, keys)
    program = jax.jit(partial(learn, find_algorithm(config.algo, None), policy, config))
    return (
        config,
        lambda: program(state, rollout, jax.random.key(2)),
        env.observation_space.shape[0],
        int(env.action_space.n),
    )


def main() -> None:
    s = settings() | {"env": "gymnax:CartPole-v1"}
    s.pop("seed")
    config, update, inputs, outputs = update_of(s)
    seconds, count = seconds_of(update), operations(config, inputs, outputs)
    small, large = product_speed(1024, 64), product_speed(1024, 1024)
    values = {
        "update_ms": seconds * 1e3,
        "update_mflop": count / 1e6,
        "update_gflops": count / seconds / 1e9,
        "product_64_gflops": small / 1e9,
        "product_1024_gflops": large / 1e9,
        "share_of_64": count / seconds / small,
        "share_of_1024": count / seconds / large,
    }
    finish(values, *PACKAGES)


if __name__ == "__main__":
    main()
