"""PureJaxRL's published ppo.py: ``run_purejaxrl.py SETTINGS``, in Rejax's Python; ``folder`` says where it is."""

import sys
import time
import types

import jax
import numpy as np
from driver import finish, settings, whole

# Its wrappers.py imports these for environments that are not used here.
STUBS = {
    "brax": ("envs",),
    "brax.envs": (),
    "brax.envs.wrappers": (),
    "brax.envs.wrappers.training": ("EpisodeWrapper", "AutoResetWrapper"),
    "navix": (),
}


def import_ppo(folder: str) -> types.ModuleType:
    """The published script as a module."""
    for name, members in STUBS.items():
        module = sys.modules.setdefault(name, types.ModuleType(name))
        for member in members:
            setattr(module, member, None)
    sys.path[:0] = [folder, f"{folder}/purejaxrl"]
    import ppo

    return ppo


def main() -> None:
    s = settings()
    rows = s["num_envs"] * s["num_steps"]
    config = {
        "LR": s["learning_rate"],
        "NUM_ENVS": s["num_envs"],
        "NUM_STEPS": s["num_steps"],
        "TOTAL_TIMESTEPS": s["steps"],
        "UPDATE_EPOCHS": s["epochs"],
        "NUM_MINIBATCHES": rows // s["minibatch_size"],
        "GAMMA": s["gamma"],
        "GAE_LAMBDA": s["lam"],
        "CLIP_EPS": s["epsilon"],
        "ENT_COEF": s["entropy_coef"],
        "VF_COEF": 0.5,
        "MAX_GRAD_NORM": 0.5,
        "ACTIVATION": "tanh",
        "ENV_NAME": s["env"].removeprefix("gymnax:"),
        "ANNEAL_LR": s["anneal"] == "learning_rate",
        "DEBUG": False,
    }
    train = import_ppo(s["folder"]).make_train(config)
    seeds = s.get("seeds", 1)
    key = jax.random.PRNGKey(s["seed"])
    keys = jax.random.split(key, seeds) if seeds > 1 else key
    began = time.perf_counter()
    program = jax.jit(jax.vmap(train) if seeds > 1 else train).lower(keys).compile()
    compiled = time.perf_counter()
    info = jax.block_until_ready(program(keys))["metrics"]
    ended = time.perf_counter()
    returns, last = (np.asarray(info[name]) for name in ("returned_episode_returns", "returned_episode"))
    values = whole(s["steps"] // rows * rows * seeds, ended - compiled, compiled - began)
    tenth = (..., slice(-max(1, config["NUM_UPDATES"] // 10), None), slice(None), slice(None))
    values |= {"training_return": float(returns[tenth][last[tenth]].mean())}
    finish(values, "jax", "flax", "distrax", "gymnax", script=f"{s['folder']}/purejaxrl/ppo.py")


if __name__ == "__main__":
    main()
