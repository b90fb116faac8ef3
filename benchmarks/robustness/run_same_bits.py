"""One update again and again from the same state: ``run_same_bits.py TIMES``, JSON with how often each result came.

``NPROC`` in the environment is the number of XLA's threads.
"""

import collections
import hashlib
import json
import os
import sys

import jax
import jaxlib
import numpy as np

from proximax.config import PPOConfig, RunConfig
from proximax.envs import probe
from proximax.policy import make_policy
from proximax.ppo import make_learner
from proximax.runtime import compilation

# 2,048 transitions, 320 gradient steps; the larger network has products that XLA divides among its threads.
SIZES = {"64 x 64": (64, 64), "512 x 512": (512, 512)}


def digests(hidden: tuple[int, ...], times: int) -> list[int]:
    """How often each result of the update came, the most frequent first."""
    env = probe.PROBES["matching-continuous"]()
    ppo = PPOConfig(hidden=hidden, epochs=10 if hidden[0] < 100 else 1)
    policy = make_policy(env.observation_space, env.action_space, ppo)
    learner = make_learner(env, policy, RunConfig("probe", ppo=ppo))
    step, state = compilation.jit(learner.step), learner.init(jax.random.key(0))
    seen: collections.Counter[str] = collections.Counter()
    for _ in range(times):
        leaves = jax.tree.leaves(step(state)[0].params)
        seen[hashlib.sha256(b"".join(np.asarray(x).tobytes() for x in leaves)).hexdigest()] += 1
    return [count for _, count in seen.most_common()]


def main() -> None:
    results = {name: digests(hidden, int(sys.argv[1])) for name, hidden in SIZES.items()}
    print(json.dumps({"jaxlib": jaxlib.__version__, "threads": os.environ.get("NPROC"), "results": results}))


if __name__ == "__main__":
    main()
