"""A million steps of HalfCheetah-v5 by EnvPool, with proximax's preset: seconds in all, and the final return.

python benchmarks/speed/half_cheetah_million.py
"""

from measure import Contestant, arguments, compare


def main() -> None:
    options = arguments(__doc__, steps=1_000_000)
    preset = {"preset": "half-cheetah", "steps": options.steps, "eval_episodes": 20}
    contestants = [
        Contestant("proximax, EnvPool", "run_proximax.py", preset | {"env": "envpool:HalfCheetah-v5"}),
        Contestant(
            "proximax, EnvPool, 64 x 64",
            "run_proximax.py",
            preset | {"env": "envpool:HalfCheetah-v5", "hidden": [64, 64]},
        ),
    ]
    compare("half_cheetah_million", contestants, options)


if __name__ == "__main__":
    main()
