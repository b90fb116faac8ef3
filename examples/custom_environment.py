"""Train on a custom environment: any Gymnasium environment, given as a callable that creates one."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import proximax


class Thermostat(gymnasium.Env):
    """Hold a room at 20 degrees while it loses heat; truncated after 50 steps, never terminated."""

    observation_space = spaces.Box(-50.0, 100.0, (2,), np.float32)
    action_space = spaces.Box(0.0, 1.0, (1,), np.float32)  # heater power

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.room, self.outside = 0, 15.0, float(self.np_random.uniform(-5, 15))
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.room += 6.0 * float(action[0]) - 0.2 * (self.room - self.outside)
        return self._obs(), -abs(self.room - 20.0), False, self.t >= 50, {}

    def _obs(self) -> np.ndarray:
        return np.array([self.room, self.outside], np.float32)


def main(steps: int = 100_000) -> None:
    result = proximax.train(Thermostat, steps=steps, num_steps=100, minibatch_size=100, learning_rate=1e-3)
    print(f"mean return {result.summary.mean:.1f}; off by {-result.summary.mean / 50:.2f} degrees on average")


if __name__ == "__main__":
    main()
