"""Pong from pixels, 8 environments x 128 steps, minibatch 256, 4 epochs: steps per second, against Stable-Baselines3.

python benchmarks/speed/pong_pixels.py

Both with the Nature CNN on four frames of 84 x 84; and proximax with the network made for CPUs on the same frames.
"""

from measure import Contestant, arguments, compare

SETTINGS = {
    "env": "ALE/Pong-v5",
    "num_envs": 8,
    "num_steps": 128,
    "minibatch_size": 256,
    "epochs": 4,
    "gamma": 0.99,
    "lam": 0.95,
    "learning_rate": 2.5e-4,
    "epsilon": 0.1,
    "anneal": "both",
    "entropy_coef": 0.01,
}


def main() -> None:
    options = arguments(__doc__, steps=10_240)
    plain = SETTINGS | {"steps": options.steps}
    contestants = [
        Contestant("proximax, Nature CNN", "run_proximax.py", plain | {"network": "nature", "eval_episodes": 1}),
        Contestant("proximax, patch-cnn", "run_proximax.py", plain | {"network": "patch-cnn", "eval_episodes": 1}),
        Contestant("SB3, DummyVecEnv", "run_sb3.py", plain, "sb3"),
        Contestant("SB3, SubprocVecEnv", "run_sb3.py", plain | {"vector": "subproc"}, "sb3"),
    ]
    compare("pong_pixels", contestants, options)


if __name__ == "__main__":
    main()
