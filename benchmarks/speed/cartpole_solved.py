"""Seconds from process start until CartPole-v1 is solved, against Stable-Baselines3 and SBX.

python benchmarks/speed/cartpole_solved.py

Solved: 100 evaluation episodes return 475 or more on average; looked for 40 times in a run of 100,000 steps, first by a
few episodes. The peers train with the settings that RL Baselines3 Zoo tuned for them, proximax with its preset. Every
run has another seed. "cold": the compilation cache is empty, "warm": an earlier run has filled it. SBX has a cache only
where its user asks JAX for one, as "SBX, warm" does.
"""

from measure import Contestant, arguments, compare

ZOO = {
    "num_envs": 8,
    "num_steps": 32,
    "minibatch_size": 256,
    "epochs": 20,
    "gamma": 0.98,
    "lam": 0.8,
    "learning_rate": 1e-3,
    "epsilon": 0.2,
    "anneal": "both",
    "entropy_coef": 0.0,
    "hidden": [64, 64],
}


def main() -> None:
    options = arguments(__doc__, steps=100_000, repeats=10)
    ours = {"env": "CartPole-v1", "steps": options.steps, "goal": 475}
    contestants = [
        Contestant("proximax, cold", "run_proximax.py", ours),
        Contestant("proximax, warm", "run_proximax.py", ours, warm=True),
        Contestant("SB3", "run_sb3.py", ours | ZOO, "sb3"),
        Contestant("SB3, 1 thread", "run_sb3.py", ours | ZOO | {"threads": 1}, "sb3"),
        Contestant("SBX", "run_sbx.py", ours | ZOO, "sbx"),
        Contestant("SBX, warm", "run_sbx.py", ours | ZOO, "sbx", warm=True),
    ]
    compare("cartpole_solved", contestants, options)


if __name__ == "__main__":
    main()
