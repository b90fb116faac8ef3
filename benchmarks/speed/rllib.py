"""CartPole-v1 in two processes, against RLlib with two env runners: steps/s, time to solved, what a dead worker costs.

python benchmarks/speed/rllib.py

The same settings for both: 8 environments x 256 steps, minibatches of 256, 10 epochs, two layers of 64. "solved": 100
evaluation episodes return 475 or more on average, from process start. "killed": one worker gets ``kill -9`` five
seconds after the first update; how much longer than others that update takes, and whether the parameters at the end
are those of the run without it.
"""

from typing import Any

from measure import Contestant, arguments, compare

SETTINGS: dict[str, Any] = {
    "env": "CartPole-v1",
    "num_envs": 8,
    "num_steps": 256,
    "minibatch_size": 256,
    "epochs": 10,
    "gamma": 0.98,
    "lam": 0.8,
    "learning_rate": 1e-3,
    "epsilon": 0.2,
    "anneal": "none",
    "entropy_coef": 0.0,
    "hidden": [64, 64],
    "workers": 2,
}
SOLVED_STEPS, LONG_STEPS = 102_400, 409_600  # of the runs to a score; of ours with a fault, which must outlive it


def main() -> None:
    options = arguments(__doc__, steps=61_440)
    rllib = SETTINGS | {"steps": options.steps}
    ours = SETTINGS | {"launch": "local", "steps": 4 * options.steps}
    often = {"flags": ["--checkpoint-every", "8192"]}
    contestants = [
        Contestant("RLlib", "run_rllib.py", rllib, "rllib"),
        Contestant("proximax", "run_launched.py", ours, warm=True),
        Contestant("solved: RLlib", "run_rllib.py", rllib | {"goal": 475, "steps": SOLVED_STEPS}, "rllib"),
        Contestant("solved: proximax", "run_launched.py", ours | {"goal": 475, "steps": SOLVED_STEPS}),
        Contestant("killed: RLlib", "run_rllib.py", rllib | {"kill_at": 5}, "rllib", repeats=1),
        Contestant(
            "killed: proximax", "run_launched.py", ours | often | {"kill_at": 5, "steps": LONG_STEPS}, repeats=1
        ),
        Contestant(
            "undisturbed: proximax", "run_launched.py", ours | often | {"kill_at": None, "steps": LONG_STEPS}, repeats=1
        ),
    ]
    compare("rllib", contestants, options)


if __name__ == "__main__":
    main()
