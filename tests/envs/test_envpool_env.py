"""EnvPool's environments: their seeds are those of a new pool."""

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from proximax.envs.envpool_env import EnvPoolEnv


class Pool(VectorEnv):
    """Shows each environment's seed and how many steps it took; takes the seeds when it is made, as EnvPool's do."""

    metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012
    single_observation_space = spaces.Box(0, np.inf, (2,), np.float64)
    single_action_space = spaces.Discrete(2)

    def __init__(self, seed):
        self.num_envs, self.seeds = len(seed), seed
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def _obs(self):
        return np.array([[seed, self.taken] for seed in self.seeds], float)

    def reset(self, *, seed=None, options=None):
        self.taken = 0
        return self._obs(), {}

    def step(self, actions):
        self.taken += 1
        ends = np.zeros(self.num_envs, bool)
        return self._obs(), np.ones(self.num_envs), ends, ends, {}


def test_each_reset_makes_a_pool_with_these_seeds_and_closes_the_one_before():
    pools = []

    def make(seed):
        pools.append(Pool(seed))
        return pools[-1]

    env = EnvPoolEnv(make, 2)
    assert env.reset([7, 9]).tolist() == [[7, 0], [9, 0]]
    assert env.step(np.zeros(2, int)).obs.tolist() == [[7, 1], [9, 1]]
    assert env.reset((3, 1000)).tolist() == [[3, 0], [1000, 0]]
    assert env.step(np.zeros(2, int)).obs.tolist() == [[3, 1], [1000, 1]]
    assert [pool.closed for pool in pools] == [True, True, False]
    env.close()
    assert pools[2].closed
