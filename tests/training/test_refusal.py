"""What a run that ends before its first update leaves on disk: nothing where it was refused, a crash report else."""

import json

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

import proximax
from proximax.errors import EnvError, NumericalError, UsageError
from tests.support.saved_runs import TINY as SIX_UPDATES

TINY = SIX_UPDATES | {"steps": 64}  # four updates


def hook(apply, init=lambda key, observation_space, action_space: ()):
    return {"reward_hook": proximax.RewardHook("bonus", init, apply)}


def algorithm(objective):
    return {"algo": proximax.Algorithm("mine", objective)}


class Refuses(proximax.TrainingCallback):
    """Has a mistake in its first method."""

    def on_start(self, training):
        raise KeyError("no such file")


class Broken(gymnasium.Env):
    """Raises in its 60th step, later than those of the check, or rewards it by what is not finite."""

    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, reward=None):
        self.reward = reward

    def reset(self, *, seed=None, options=None):
        self.t = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.t += 1
        if self.t == 60 and self.reward is None:
            raise OSError("socket closed")
        return np.zeros(2, np.float32), self.reward if self.t == 60 else 0.0, False, False, {}


def apply(params, obs):
    if obs.shape[0] == 2:  # as many as there are environments: it acts, and is no example of them
        raise TypeError("no such matrix")
    return jnp.zeros((obs.shape[0], 2)) + params["w"], jnp.zeros(obs.shape[0])


NETWORK = {"network": proximax.Network(lambda key, obs: {"w": jnp.zeros(())}, apply)}


REFUSED = {
    "negative schedule": ({"callbacks": [proximax.Schedule(epsilon=lambda p: -1.0)], "anneal": "none"}, "epsilon = -1"),
    "two annealed": (
        {"callbacks": [proximax.Schedule(epsilon=lambda p: 0.1)], "anneal": "epsilon"},
        "leave it out of anneal",
    ),
    "shape of rewards": (hook(lambda s, r: (r.reward.sum(), s, {})), r"bonus gives rewards of shape \(\); must be"),
    "only rewards": (hook(lambda s, r: r.reward), r"bonus gives shape \(8, 2\); must be \(rewards, its next state"),
    "no next state": (hook(lambda s, r: (r.reward, {})), r"bonus gives type tuple of 2; must be \(rewards"),
    "metric": (hook(lambda s, r: (r.reward, s, {"all": r.reward})), r"the metric all of shape \(8, 2\); must be one"),
    "next state": (hook(lambda s, r: (r.reward, r.reward, {})), r"bonus gives a next state of \['shape \(8, 2\)'"),
    "hook raises": (hook(lambda s, r: r.rewards), "reward_hook bonus raised AttributeError: .*rewards"),
    "objective raises": (
        algorithm(lambda x, rates: x.ratio),
        "the objective raised AttributeError: .*ratio.* has log_prob, log_ratio, ",
    ),
    "objective's tuple": (algorithm(lambda x, rates: (x.log_ratio, {})), r"returns type tuple of 2; it must be \(8,\)"),
}


@pytest.mark.parametrize("env", ["probe:matching", "CartPole-v1"])
@pytest.mark.parametrize("case", REFUSED)
def test_nothing_is_left_of_a_run_whose_arguments_are_refused_as_it_starts(case, env, tmp_path):
    settings, message = REFUSED[case]
    with pytest.raises(UsageError, match=message):
        proximax.train(env, out=tmp_path / "runs" / "one", **TINY | settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("env", ["probe:matching", "CartPole-v1"])
@pytest.mark.parametrize(("settings", "kind"), [({"callbacks": [Refuses()]}, KeyError), (NETWORK, TypeError)])
def test_nor_of_one_that_a_callback_or_a_network_of_the_users_ends_by_a_mistake(settings, kind, env, tmp_path):
    with pytest.raises(kind, match="no such"):
        proximax.train(env, out=tmp_path / "run", **TINY | settings)
    assert list(tmp_path.iterdir()) == []


def test_what_was_in_the_folder_before_stays(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(KeyError):
        proximax.train("probe:matching", out=tmp_path, callbacks=[Refuses()], **TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    proximax.train("probe:matching", out=tmp_path, callbacks=[lambda rows: True], **TINY)


@pytest.mark.parametrize(("reward", "kind"), [(None, EnvError), (np.inf, NumericalError)])
def test_an_environments_fault_in_the_first_update_is_reported(reward, kind, tmp_path):
    with pytest.raises(kind):
        proximax.train(lambda: Broken(reward), out=tmp_path / "run", **TINY | {"num_steps": 64, "steps": 128})
    assert json.loads((tmp_path / "run" / "crash" / "crash.json").read_text())["kind"] == kind.__name__
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000000000000"]


@pytest.mark.slow
def test_numbers_that_are_not_finite_in_the_first_update_are_reported(tmp_path):
    with pytest.raises(NumericalError, match="update 1 of seed 0"):
        proximax.train("probe:matching", out=tmp_path / "run", **TINY | hook(lambda s, r: (r.reward * jnp.nan, s, {})))
    assert (tmp_path / "run" / "crash" / "rollout.npz").exists()


def test_a_usage_error_after_an_update_keeps_the_run(tmp_path):
    late = proximax.Schedule(epsilon=lambda p: 0.1 if p == 0 else -1.0)
    with pytest.raises(UsageError, match="epsilon = -1"):
        proximax.train("probe:matching", out=tmp_path / "run", callbacks=[late], anneal="none", **TINY)
    assert (tmp_path / "run" / "error.log").exists()


@pytest.mark.slow
def test_a_resumed_run_keeps_what_it_has(tmp_path):
    run = {"out": tmp_path / "run", **TINY}
    proximax.train("probe:matching", callbacks=[lambda rows: True], **run)
    with pytest.raises(KeyError):
        proximax.train("probe:matching", resume=True, callbacks=[Refuses()], **run)
    proximax.train("probe:matching", resume=True, **run)


def test_a_hook_may_log_numbers_of_every_kind_and_keep_any_tree():
    def apply(state, rollout):
        return rollout.reward, state, {"one": 1, "two": np.float32(2), "three": jnp.sum(state["table"])}

    kept = hook(apply, lambda key, observation_space, action_space: {"table": jnp.ones(3), "key": key})
    row = proximax.train("probe:matching", callbacks=[lambda rows: True], **TINY | kept).history[0]
    assert [row[f"bonus_{name}"] for name in ("one", "two", "three")] == [1, 2, 3]
