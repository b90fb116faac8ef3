"""Every argument of every public function is checked: what is none is refused by name; NumPy's numbers are welcome."""

import json
from dataclasses import asdict

import gymnasium
import numpy as np
import pytest

import proximax
from proximax.errors import UsageError

K = {
    "steps": 64,
    "num_envs": 2,
    "num_steps": 8,
    "minibatch_size": 16,
    "hidden": (8,),
    "eval_episodes": 1,
    "quiet": True,
}
PROBE = "probe:constant"


class Module:
    """Stands for a module of another library, which the name of its own says."""


LINEN = type("Linen", (Module,), {"__module__": "flax.linen.module"})
TORCH = type("Torch", (Module,), {"__module__": "torch.nn.modules.module"})


@pytest.mark.fault(31)
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"network": 7}, r"network = 7: must be a proximax.Network, a name \(auto, mlp, .*\) or None$"),
        ({"network": lambda obs: obs}, "network = <function .*: must be a proximax.Network"),
        ({"network": LINEN()}, r"must be a proximax.Network, .*The adapter is proximax.from_linen\(module\)"),
        ({"network": LINEN}, r"The adapter is proximax.from_linen\(module\)"),
        ({"network": TORCH()}, "none for PyTorch"),
        ({"network": "mpl"}, "network = 'mpl': must be one of auto, mlp"),
        ({"network": proximax.Network(7, print)}, "network: its init is 7, not a function"),
        ({"callbacks": print}, "callbacks = .*: must be a list of functions"),
        ({"callbacks": [7]}, r"callbacks = \[7\]: must be a list of functions"),
        ({"quiet": 3, "profile": "no"}, "quiet = 3: must be True or False; profile = 'no': must be True or False"),
        ({"verbose": 1}, "verbose = 1: must be True or False"),
        ({"verbose": True}, "quiet and verbose are both True: give one of them"),
        ({"out": 7}, "out = 7: must be a path, or None"),
        ({"resume": "yes"}, "resume = 'yes': must be True or False"),
        ({"seeds": "3"}, "seeds = 3: must be an integer"),
        ({"seed": 1.5}, "seed = 1.5: must be an integer"),
        ({"preset": 7}, "preset = 7: must be a name or None"),
        ({"algo": 7}, "algo = 7: must be a name or an Algorithm"),
        ({"hidden": 7}, "hidden = 7: give one or more layer sizes"),
        ({"learning_rate": "1e-3"}, "learning_rate = 1e-3: must be a number"),
        ({"algo": proximax.Algorithm("mine", 7)}, "the objective of the algorithm 'mine' is 7, not a function"),
    ],
)
def test_train_refuses_what_is_none_of_its_arguments(wrong, text):
    with pytest.raises(UsageError, match=text):
        proximax.train(PROBE, **K | wrong)


@pytest.mark.parametrize("env", [7, None, [PROBE], gymnasium])
def test_what_is_no_environment_is_refused(env):
    for call in (lambda: proximax.train(env, **K), lambda: proximax.make_env(env)):
        with pytest.raises(UsageError, match=r"must be an id .*a callable that makes a Gymnasium environment"):
            call()


def test_one_environment_is_no_callable_that_makes_them():
    with pytest.raises(UsageError, match=r"is one environment, .*Give a callable that makes it, as in lambda"):
        proximax.train(gymnasium.make("CartPole-v1"), **K)


CONFIG = proximax.RunConfig("x")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: proximax.run(7), "config = 7: must be a RunConfig"),
        (lambda: proximax.run(CONFIG, PROBE, custom_algorithm=7), "custom_algorithm = 7: must be an Algorithm or None"),
        (lambda: proximax.run(CONFIG, PROBE, network="mlp"), "network = 'mlp': must be a proximax.Network or None"),
        (lambda: proximax.RunConfig("x", ppo=7).check(), "ppo = 7: must be a PPOConfig"),
        (lambda: proximax.evaluate(7), "run = 7: must be a path"),
        (lambda: proximax.evaluate("x", "3"), "episodes = 3: must be an integer"),
        (lambda: proximax.evaluate("x", 3, seed=-1, sample=2), "seed = -1: .*; sample = 2: must be True or False, or"),
        (lambda: proximax.load(7), "run_dir = 7: must be a path"),
        (lambda: proximax.load("x", seed="a"), "seed = a: must be an integer"),
        (lambda: proximax.load("x", checkpoint=3), "checkpoint = 3: must be last, best or a name"),
        (lambda: proximax.load("x", network=7), "network = 7: must be a proximax.Network or None"),
        (lambda: proximax.video("x", episodes=0, seconds=0), "episodes = 0: .*; seconds = 0: must be a number > 0"),
        (lambda: proximax.video("x", 7, agent_seed=0.5), "out = 7: must be a path, or None; agent_seed = 0.5"),
        (lambda: proximax.make_env(PROBE, 2.5), "num_envs = 2.5: must be an integer"),
        (lambda: proximax.make_env(PROBE, autoreset="never"), "autoreset = 'never': must be one of auto"),
        (lambda: proximax.make_env(PROBE, env_timeout=0), "env_timeout = 0: must be a number > 0"),
        (
            lambda: proximax.make_policy(7, 8, 9),
            "observation_space = 7: .*; action_space = 8: .*; config = 9: must be a",
        ),
        (
            lambda: proximax.make_learner(7, 8, 9),
            "env = 7: must be a JaxEnv; policy = 8: .*; config = 9: must be a Run",
        ),
        (lambda: proximax.make_host_learner(7, 8, 9), "policy = 8: .*; env = 7: must be a HostEnv"),
        (lambda: proximax.mlp("3", hidden=8, activation="sin"), "outputs = 3: .*; hidden = 8: .*; activation = 'sin'"),
        (lambda: proximax.mlp(3, shared_torso=1), "shared_torso = 1: must be True or False"),
        (lambda: proximax.from_linen(7), "module = 7: must be a flax.linen module"),
        (lambda: proximax.from_nnx(7), r"make = 7: must be a function make\(rngs\)"),
        (lambda: proximax.from_equinox(7), r"make = 7: must be a function make\(key\)"),
        (lambda: proximax.stack_seeds([]), r"states = \[\]: must be a list of states"),
        (lambda: proximax.stack_seeds([7]), r"states = \[7\]: must be a list of states"),
        (lambda: proximax.seed_key(1.5), "seed = 1.5: must be an integer"),
    ],
)
def test_every_public_function_refuses_what_is_none_of_its_arguments(call, text):
    with pytest.raises(UsageError, match=text):
        call()


def test_compare_refuses_what_is_none_of_its_arguments(tmp_path):
    pytest.importorskip("matplotlib")
    for algos in ("clip", 7):
        with pytest.raises(UsageError, match=f"algos = {algos!r}: must be a list of names"):
            proximax.compare(PROBE, algos, out=tmp_path)
    with pytest.raises(UsageError, match="out = 7: must be a path; quiet = 2"):
        proximax.compare(PROBE, ["clip"], out=7, quiet=2)


def test_numbers_of_numpy_are_numbers():
    ppo = proximax.PPOConfig(
        num_steps=np.int64(8), learning_rate=np.float32(0.5), normalise_obs=np.bool_(False), hidden=np.array([8, 4])
    )
    config = proximax.RunConfig("x", seed=np.uint8(3), steps=np.int64(64), num_envs=np.int32(8), ppo=ppo)
    plain = proximax.RunConfig(
        "x",
        seed=3,
        steps=64,
        num_envs=8,
        ppo=proximax.PPOConfig(8, learning_rate=0.5, normalise_obs=False, hidden=(8, 4)),
    )
    assert config == plain
    assert json.dumps(config.to_json()) == json.dumps(asdict(plain))
    assert all(type(value) in (int, float, str, bool, tuple, type(None)) for value in vars(config.ppo).values())
    assert proximax.make_env("CartPole-v1", np.int64(2)).num_envs == 2
    assert proximax.mlp(np.int64(3), [np.int64(4)]).init(proximax.seed_key(np.int64(1)), np.zeros((1, 2)))
