"""Double-buffered sampling (``--env-groups 2``) against one group of environments: steps per second.

python benchmarks/speed/double_buffering.py

HalfCheetah-v5 with few and with many environments on each core. The transitions are the same, so less time is all there
is to gain.
"""

from half_cheetah import SETTINGS
from measure import Contestant, arguments, compare

SIZES = {8: 256, 64: 32}  # environments: steps of each in a rollout


def main() -> None:
    options = arguments(__doc__, steps=122_880)
    contestants = []
    for source, env in (("Gymnasium", "HalfCheetah-v5"), ("EnvPool", "envpool:HalfCheetah-v5")):
        for envs, steps in SIZES.items():
            sizes = {"env": env, "num_envs": envs, "num_steps": steps, "steps": options.steps, "eval_episodes": 1}
            for groups in (1, 2):
                name = f"{source}, {envs} environments, {'double-buffered' if groups > 1 else 'one group'}"
                contestants.append(Contestant(name, "run_proximax.py", SETTINGS | sizes | {"env_groups": groups}))
    compare("double_buffering", contestants, options)


if __name__ == "__main__":
    main()
