"""CartPole-v1 of gymnax with PureJaxRL's settings, 4 and 64 environments: against PureJaxRL and Rejax.

python benchmarks/speed/gymnax_cartpole.py --purejaxrl FOLDER

Each peer is one program for the whole run, compiled before its time is taken. Both need gymnax < 1; proximax has
gymnax 1, whose CartPole-v1 is the same. Rejax has no annealing, which costs no time.
"""

from typing import Any

from measure import Contestant, arguments, compare

SETTINGS: dict[str, Any] = {
    "env": "gymnax:CartPole-v1",
    "num_steps": 128,
    "epochs": 4,
    "gamma": 0.99,
    "lam": 0.95,
    "learning_rate": 2.5e-4,
    "epsilon": 0.2,
    "anneal": "learning_rate",
    "entropy_coef": 0.01,
    "hidden": [64, 64],
}
MINIBATCHES = 4


def sized(num_envs: int, steps: int) -> dict[str, Any]:
    """The settings for so many environments: always four minibatches."""
    minibatch = num_envs * SETTINGS["num_steps"] // MINIBATCHES
    return SETTINGS | {"num_envs": num_envs, "minibatch_size": minibatch, "steps": steps}


def main() -> None:
    options = arguments(__doc__, steps=500_000)
    contestants = []
    for num_envs in (4, 64):
        s = sized(num_envs, options.steps)
        contestants.append(Contestant(f"proximax, {num_envs}", "run_proximax.py", s | {"value_epsilon": 0.2}))
        contestants.append(Contestant(f"Rejax, {num_envs}", "run_rejax.py", s, "rejax"))
        if options.purejaxrl:
            folder = {"folder": str(options.purejaxrl.absolute())}
            contestants.append(Contestant(f"PureJaxRL, {num_envs}", "run_purejaxrl.py", s | folder, "rejax"))
    compare("gymnax_cartpole", contestants, options)


if __name__ == "__main__":
    main()
