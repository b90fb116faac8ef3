"""sb3-contrib's RecurrentPPO; without ``lstm`` in SETTINGS Stable-Baselines3's PPO, in the same peer's Python."""

import gymnasium
from driver import settings
from run_sb3 import run
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO

if __name__ == "__main__":
    gymnasium.logger.min_level = gymnasium.logger.ERROR
    run(RecurrentPPO if settings().get("lstm") else PPO, "sb3-contrib", "stable-baselines3", "torch")
