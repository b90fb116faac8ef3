"""A rollout and its update against the environments alone and the update alone: ``run_parts.py SETTINGS``.

All three in one process with the same environments: steps with random actions, no policy; the compiled learning program
on a stored rollout; and the learner as it trains.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from driver import finish, settings
from run_proximax import PACKAGES, PLAIN

from proximax.algorithms import find_algorithm
from proximax.envs import HostEnv, env_seeds, make_env
from proximax.policy import make_policy
from proximax.ppo import act_at, learn_host
from proximax.rollout import collect, host_buffers
from proximax.train import resolve, start_learner

ROUNDS = 10  # rollouts of each


def seconds_of(call: Callable[[], Any]) -> float:
    """Median seconds of a call, after two to warm up."""
    times = []
    for _ in range(ROUNDS + 2):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return float(np.median(times[2:]))


def random_steps(env: HostEnv, num_steps: int) -> Callable[[], None]:
    """A rollout without a policy."""
    rng = np.random.default_rng(0)
    space: Any = env.action_space
    actions = rng.uniform(space.low, space.high, (num_steps, env.num_envs, *space.shape)).astype(np.float32)

    def call() -> None:
        for action in actions:
            env.step(action)

    return call


def main() -> None:
    s = settings()
    config, _ = resolve(s["env"], "none", {k: v for k, v in PLAIN.items() if k not in ("preset", "quiet")} | s)
    env: Any = make_env(s["env"], config.num_envs)
    policy = make_policy(env.observation_space, env.action_space, config.ppo)
    learner, state = start_learner(env, policy, config)
    states = [state]

    def train() -> Any:
        states[0], metrics = learner.step(states[0])
        return metrics

    wall = seconds_of(train)
    now = states[0]
    act = jax.jit(jax.vmap(partial(act_at, policy), in_axes=(0, 0, 0, 0, 0, 0, None)))
    act_once: Any = lambda carry, obs, first, t: act(now.params, now.obs_moments, carry, obs, first, now.key, t)  # noqa: E731
    example = act_once(now.rollout.carry, now.rollout.obs, now.rollout.first, 0).action
    buffers = host_buffers(config.ppo.num_steps, now.rollout, example)
    _, rollout, _ = collect(env, act_once, now.rollout, buffers)
    program = jax.jit(jax.vmap(partial(learn_host, find_algorithm(config.algo, None), policy, config), in_axes=(0, 1)))
    outside: Any = ()
    update = seconds_of(lambda: program(now._replace(rollout=outside), rollout))
    env.reset(env_seeds(0, config.num_envs))
    alone = seconds_of(random_steps(env, config.ppo.num_steps))
    env.close()
    values = {
        "wall_s": wall,
        "environment_s": alone,
        "update_s": update,
        "wall_over_larger": wall / max(alone, update),
        "wall_over_sum": wall / (alone + update),
    }
    finish(values, *PACKAGES)


if __name__ == "__main__":
    main()
