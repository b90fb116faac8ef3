"""A worker process as the trainer sees it: killed, late, ended. Trap 37."""

import numpy as np
import pytest

from proximax.envs.workers import vector_env
from proximax.errors import EnvError
from tests.support.toy_gym import Fixed, Script
from tests.support.worker_envs import Slow
from tests.support.worker_pools import alive, pool


@pytest.mark.process
@pytest.mark.trap(37)
def test_a_worker_killed_between_two_steps_is_a_fault():
    env = pool(Script, 4)
    env.reset(range(4))
    env._workers[1]._process.kill()
    env._workers[1]._process.wait()
    with pytest.raises(EnvError, match=r"environments 2 to 3 died in step .* at step 0: signal 9"):
        env.step(np.zeros(4, int))
    env.close()


@pytest.mark.slow
@pytest.mark.trap(37)
def test_the_limit_is_for_one_call_not_for_a_whole_share():
    env = pool(Slow, 8, timeout=3.0)
    try:
        before = env.reset(range(8))
        after = env.step(np.zeros(8, int))
        np.testing.assert_array_equal(after.final_obs[:, 1], before[:, 1] + 1)  # all eight took their step
    finally:
        env.close()


@pytest.mark.slow
@pytest.mark.trap(37)
def test_all_workers_can_be_ended_at_once():
    both = [pool(Script, 4), pool(Script, 2)]
    pids = [worker.pid for env in both for worker in env._workers]
    vector_env.kill_all()
    for env in both:
        env.close()
    assert not any(alive(pid) for pid in pids)


def test_a_timeout_that_is_meant_to_be_none_is_one():
    env = pool(Fixed, 2, timeout=1e12)
    try:
        assert env.reset([1, 2]).shape[0] == 2
    finally:
        env.close()
