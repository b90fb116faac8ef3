"""Hashes of what small training runs save, to show that a change leaves every result as it was.

    python benchmarks/tools/run_hashes.py before.json              # on the commit before
    python benchmarks/tools/run_hashes.py after.json --same-as before.json

Each run trains a few updates and is saved; the SHA-256 of its last ``policy.safetensors`` and ``state.safetensors`` are
written. The runs cover each algorithm, host and JAX environments, several seeds, masks, nested spaces, double-buffered
environments, Atari, MuJoCo, and a run that is interrupted and resumed. Hashes differ between machines and versions of
JAX: compare only what one machine has made. Evaluations are not part of the hashes: a change of how they are made may
give other returns and the same hashes.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

import proximax

TINY: dict[str, Any] = {"num_envs": 4, "num_steps": 16, "minibatch_size": 16, "epochs": 2, "eval_episodes": 2}
TINY |= {"steps": 6 * 64, "preset": "none", "quiet": True, "checkpoint_every": "end"}
TWO_SEEDS = {"seeds": 2, "seed": 2**33}
GROUPS = "env_groups" if "env_groups" in proximax.RunConfig.__dataclass_fields__ else "turns"


class Masked(gymnasium.Env[Any, Any]):
    """A random walk whose ``info`` forbids one of three discrete actions; the action has a continuous part too."""

    observation_space = spaces.Dict({"place": spaces.Box(-5.0, 5.0, (2,), np.float32), "kind": spaces.Discrete(3)})
    action_space = spaces.Dict({"move": spaces.Discrete(3), "size": spaces.Box(-1.0, 1.0, (2,), np.float32)})

    def _observe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        self.kind = int(self.np_random.integers(3))
        mask = np.ones(3, np.int8)
        mask[self.kind] = 0
        return {"place": self.place.astype(np.float32), "kind": self.kind}, {
            "action_mask": {"move": mask, "size": None}
        }

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.length = self.np_random.normal(size=2), 0
        return self._observe()

    def step(self, action: Any) -> Any:
        assert action["move"] != self.kind
        self.place = np.clip(self.place + 0.1 * (action["move"] - 1) * action["size"], -5, 5)
        self.length += 1
        reward = float(-np.abs(self.place).sum())
        ended = bool(np.abs(self.place).max() > 2)
        return (*(lambda obs, info: (obs, reward, ended, self.length >= 9, info))(*self._observe()),)


RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "clip-host": ("CartPole-v1", {"anneal": "both", "normalise_obs": True, "scale_reward": True}),
    "clip-gymnax-seeds": ("gymnax:CartPole-v1", TWO_SEEDS | {"value_epsilon": 0.2, "entropy_coef": 0.01}),
    "clip-envpool-seeds-groups": ("envpool:CartPole-v1", TWO_SEEDS | {GROUPS: 2}),
    "penalty": ("probe:matching", {"algo": "penalty"}),
    "surrogate": ("Pendulum-v1", {"algo": "surrogate", "target_kl": 0.01, "kl_control": "learning_rate"}),
    "trpo": ("Pendulum-v1", {"algo": "trpo"}),
    "npg": ("gymnax:CartPole-v1", {"algo": "npg"}),
    "reinforce": ("CartPole-v1", {"algo": "reinforce"}),
    "a2c-seeds": ("CartPole-v1", TWO_SEEDS | {"algo": "a2c", "epochs": 1, "minibatch_size": None}),
    "masks-nested-seeds": (Masked, TWO_SEEDS | {"box_distribution": "beta", "shared_torso": True}),
    "mujoco": ("HalfCheetah-v5", {"recompute_advantage": True, "log_std_init": -0.5}),
    "atari": ("ALE/Pong-v5", {"normalise_pixels": True, "eval_episodes": 1, "num_steps": 8, "noop_max": 3}),
}
RESUMED: dict[str, tuple[Any, dict[str, Any]]] = {
    "resumed-host": RUNS["clip-host"],
    "resumed-jax": RUNS["clip-gymnax-seeds"],
}


def main() -> None:
    """Train all runs, write their hashes, and compare them if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("out", type=Path)
    parser.add_argument("--same-as", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hashes = {name: trained(Path(folder) / name, env, settings) for name, (env, settings) in RUNS.items()}
        hashes |= {name: resumed(Path(folder) / name, env, settings) for name, (env, settings) in RESUMED.items()}
    arguments.out.write_text(json.dumps(hashes, indent=2) + "\n")
    if arguments.same_as:
        before = json.loads(arguments.same_as.read_text())
        different = [name for name in before.keys() | hashes.keys() if before.get(name) != hashes.get(name)]
        sys.exit(f"different: {', '.join(sorted(different))}" if different else f"all {len(hashes)} runs are the same")


def trained(out: Path, env: Any, settings: dict[str, Any]) -> dict[str, str]:
    """The hashes of one run."""
    proximax.train(env, out=out, **TINY | settings)
    return saved(out)


def resumed(out: Path, env: Any, settings: dict[str, Any]) -> dict[str, str]:
    """The hashes of a run that ends after three updates and is resumed."""
    proximax.train(env, out=out, callbacks=[lambda rows: rows[0]["update"] == 3], **TINY | settings)
    proximax.train(env, out=out, resume=True, **TINY | settings)
    return saved(out)


def saved(out: Path) -> dict[str, str]:
    """The hash of each file of tensors in a run's last checkpoint."""
    last = max((out / "checkpoints").glob("step-*"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(last.glob("*.safetensors"))}


if __name__ == "__main__":
    main()
