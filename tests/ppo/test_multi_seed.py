"""Many updates to a call: the same as one by one, seeds shared out among devices, an end after what is not good."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import proximax
from proximax import PPOConfig, RunConfig, make_env, make_policy
from proximax.ppo.multi_seed import MAX_UPDATES_PER_CALL, make_multi_seed_learner, run_updates

PPO = PPOConfig(num_steps=16, minibatch_size=16, epochs=2)


def started(seeds=1, env="probe:matching"):
    config = RunConfig(env, steps=16 * 2 * 40, num_envs=2, seeds=seeds, ppo=PPO)
    made = make_env(config.env, 2)
    learner = make_multi_seed_learner(made, make_policy(made.observation_space, made.action_space, PPO), config)
    return learner.advance, learner.init()


def equal(a, b):
    plain = lambda x: jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x  # noqa: E731
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(plain(x), plain(y)), a, b)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [1, 3])
def test_many_updates_in_a_call_are_those_made_one_by_one(seeds):
    advance, state = started(seeds)
    together, rows = advance(state, 5)
    apart = []
    for _ in range(5):
        state, row = advance(state, 1)
        apart.append(row)
    equal(together, state)
    equal(rows, jax.tree.map(lambda *x: np.concatenate(x), *apart))
    assert rows["finite"].shape == (5, seeds)


def test_a_call_makes_no_more_than_its_buffer_holds():
    counted = lambda state: (state + 1, {"finite": jnp.ones(()), "n": state})  # noqa: E731
    state, rows = jax.jit(lambda n: run_updates(counted, jnp.zeros(()), n))(MAX_UPDATES_PER_CALL)
    assert state == MAX_UPDATES_PER_CALL
    np.testing.assert_array_equal(rows["n"], np.arange(MAX_UPDATES_PER_CALL))


def test_a_call_ends_after_an_update_that_is_not_good():
    step = lambda state: (state + 1, {"finite": jnp.where(state == 3, 0.0, 1.0)})  # noqa: E731
    state, rows = jax.jit(lambda n: run_updates(step, jnp.zeros(()), n))(10)
    assert state == 4
    np.testing.assert_array_equal(rows["finite"][:10], [1, 1, 1, 0, 0, 0, 0, 0, 0, 0])


SHARED = """
import jax, numpy as np, sys, proximax
from proximax.runtime import compilation
compilation.use_compilation_cache()
if {cores} > 1:
    jax.config.update("jax_num_cpu_devices", {cores})
else:
    compilation.use_cpu_devices = lambda number: None
for seeds in {seeds}:
    settings = dict(steps=320, num_envs=2, num_steps=16, minibatch_size=16, epochs=2, hidden=(4,), eval_episodes=2)
    result = proximax.train("probe:matching", preset="none", seeds=seeds, quiet=True, **settings)
    print(len(jax.devices()), *[float(np.sum(np.abs(np.concatenate([np.ravel(x) for x in jax.tree.leaves(a.params)]))))
          for a in result.agents])
"""


@pytest.mark.process
@pytest.mark.slow
def test_seeds_shared_out_among_devices_learn_what_they_learn_alone():
    numbers = (2, 32)  # one of each device's, and more than are learned at once
    ran = [
        subprocess.run(
            [sys.executable, "-c", SHARED.format(seeds=numbers, cores=cores)],
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout.splitlines()
        for cores in (1, 2)
    ]
    for seeds, one, two in zip(numbers, *ran, strict=True):
        (devices, *alone), (more, *shared) = one.split(), two.split()
        assert (devices, more) == ("1", "2")
        assert len(alone) == len(shared) == seeds
        np.testing.assert_allclose(np.array(alone, float), np.array(shared, float), rtol=1e-5)


@pytest.mark.slow
def test_rows_of_one_call_have_times_of_their_own():
    result = proximax.train("probe:matching", steps=16 * 2 * 60, num_envs=2, quiet=True, **vars(PPO))
    times = [row["time_s"] for row in result.history]
    assert [row["update"] for row in result.history] == list(range(1, 61))
    assert times == sorted(times)
    assert len(set(times)) > 30
