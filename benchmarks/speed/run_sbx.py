"""SBX's PPO, which has Stable-Baselines3's interface: ``run_sbx.py SETTINGS``, in the peer's Python."""

from run_sb3 import run
from sbx import PPO

if __name__ == "__main__":
    run(PPO, "sbx-rl", "stable-baselines3", "jax", "flax")
