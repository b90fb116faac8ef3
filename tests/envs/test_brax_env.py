"""JAX physics: true final observations, fresh starts, time limits as truncations (traps 1, 2 and 8); Brax for real."""

import logging
import sys
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces

import proximax
from proximax.envs import from_brax, make_env
from proximax.errors import DependencyError, UsageError


class State(NamedTuple):
    """The fields that environments of Brax and MuJoCo Playground share."""

    data: Any
    obs: Any
    reward: Any
    done: Any
    metrics: dict
    info: dict


class Slide:
    """A point that an action moves along a line, from a start in (-0.5, 0.5); beyond ±1 it ends. Reward: where it is.

    As the real ones do, it writes into the dicts of the state it is given, and its ``done`` becomes a bool.
    """

    action_size = 1

    def look(self, position):
        return position[None]

    def reset(self, key):
        assert key.dtype == jnp.uint32  # of the old kind
        position = jax.random.uniform(key, (), minval=-0.5, maxval=0.5)
        zero = jnp.zeros(())
        return State(position, self.look(position), zero, zero, {"far": zero}, {"calls": jnp.zeros((), jnp.int32)})

    def step(self, state, action):
        position = state.data + action[0]
        state.metrics["far"], state.info["calls"] = jnp.abs(position), state.info["calls"] + 1
        return state._replace(data=position, obs=self.look(position), reward=position, done=jnp.abs(position) > 1)


class Sensed(Slide):
    """What the policy may see, and what a robot cannot sense."""

    def look(self, position):
        return {"state": position[None], "privileged_state": jnp.stack([position, 7.0])}


class Diverging(Slide):
    """Its simulation diverges beyond ±1, which ends the episode."""

    def step(self, state, action):
        after = super().step(state, action)
        wrong = jnp.where(after.done, jnp.nan, after.data)
        return after._replace(obs=wrong[None], reward=wrong)


def steps(env, action, count, seed=0):
    """The observation of the first start, and what ``count`` steps with one action give."""
    state, obs = env.reset(jax.random.key(seed))
    taken = []
    for t in range(count):  # without jit: few small operations, which all environments here share
        state, outcome = env.step(jax.random.key(100 + t), state, jnp.float32([action]))
        taken.append(outcome)
    return obs, taken


@pytest.mark.trap(2)
def test_the_final_observation_is_the_one_before_the_reset():
    obs, taken = steps(from_brax(Slide()), 0.8, 12)
    assert sum(bool(s.terminated) for s in taken) >= 4
    for s in taken:
        np.testing.assert_allclose(s.final_obs, obs + 0.8, rtol=1e-6)  # where the action led, ended or not
        assert bool(s.terminated) == bool(s.first) == (float(s.final_obs[0]) > 1)
        assert float(s.reward) == float(s.final_obs[0])
        assert not s.truncated
        assert abs(float(s.obs[0])) < 0.5 if s.first else s.obs == s.final_obs
        obs = s.obs


@pytest.mark.trap(8)
def test_each_episode_begins_at_a_start_of_its_own():
    first, taken = steps(from_brax(Slide()), 0.8, 12)
    starts = [float(first[0])] + [float(s.obs[0]) for s in taken if s.first]
    assert len(set(starts)) == len(starts) >= 5
    again, other = steps(from_brax(Slide()), 0.8, 12, seed=1)
    assert again != first
    # The same keys give the same starts: nothing is kept from an earlier episode.
    np.testing.assert_array_equal([s.obs for s in taken if s.first][-1], [s.obs for s in other if s.first][-1])


@pytest.mark.trap(1)
def test_a_time_limit_is_a_truncation_and_an_end_at_the_same_step_is_none():
    _, taken = steps(from_brax(Slide(), episode_length=3), 0.0, 7)
    assert [bool(s.truncated) for s in taken] == [False, False, True, False, False, True, False]
    assert not any(s.terminated for s in taken)
    assert [bool(s.first) for s in taken] == [bool(s.truncated) for s in taken]
    for before, s in pairwise(taken):
        assert s.final_obs == before.obs  # it stands still, also in the step that is cut off
    _, taken = steps(from_brax(Slide(), episode_length=1), 5.0, 2)
    assert [(bool(s.terminated), bool(s.truncated)) for s in taken] == [(True, False)] * 2


def test_a_repeated_action_ends_with_its_episode():
    env = from_brax(Slide(), action_repeat=4, episode_length=8)
    obs, (s,) = steps(env, 0.5, 1)
    path = [float(obs[0]) + 0.5 * k for k in range(1, 5)]
    path = path[: 1 + next(i for i, x in enumerate(path) if x > 1)]
    assert len(path) < 4
    assert s.terminated
    np.testing.assert_allclose([s.final_obs[0], s.reward], [path[-1], sum(path)], rtol=1e-6)
    obs, taken = steps(env, 0.01, 4)
    np.testing.assert_allclose(taken[0].reward, 4 * obs[0] + 0.1, rtol=1e-5)
    assert [bool(s.truncated) for s in taken] == [False, True, False, True]  # of 8 steps of its own, two of ours


def test_a_step_leaves_the_state_that_it_is_given_as_it_was():
    env = from_brax(Slide())
    state, _ = env.reset(jax.random.key(0))
    after, _ = env.step(jax.random.key(1), state, jnp.float32([0.1]))
    assert (int(state.state.info["calls"]), float(state.state.metrics["far"])) == (0, 0.0)
    assert int(after.state.info["calls"]) == 1
    assert after.state.done.dtype == state.state.done.dtype


class Talking(Slide):
    """It logs as MJX does, by which Python configures logging where nothing is configured."""

    def reset(self, key):
        logging.debug("reset")
        return super().reset(key)

    def step(self, state, action):
        logging.debug("step")
        return super().step(state, action)


def test_what_an_environment_logs_does_not_configure_logging(monkeypatch):
    monkeypatch.setattr(logging.root, "handlers", [])
    steps(from_brax(Talking()), 0.1, 1)
    assert logging.root.handlers == []


def test_the_policy_sees_what_a_robot_senses_unless_told_otherwise():
    env = from_brax(Sensed())
    assert make_env(env) is env  # traced as one of a user's
    assert env.observation_space == spaces.Box(-np.inf, np.inf, (1,), np.float32)
    assert env.action_space == spaces.Box(-1.0, 1.0, (1,), np.float32)
    _, (s,) = steps(env, 0.0, 1)
    assert s.obs.shape == s.final_obs.shape == (1,)
    _, (s,) = steps(from_brax(Sensed(), observation="privileged_state"), 0.0, 1)
    assert s.final_obs[1] == 7
    with pytest.raises(UsageError, match="observation = 'pixels': must be one of privileged_state, state"):
        from_brax(Sensed(), observation="pixels")
    with pytest.raises(UsageError, match="observation = 'state': the environment's observations are one array"):
        from_brax(Slide(), observation="state")


def test_a_simulation_that_diverges_ends_its_episode_with_finite_numbers():
    obs, taken = steps(from_brax(Diverging()), 0.8, 4)
    assert any(s.terminated for s in taken)
    for s in taken:
        if s.terminated:
            assert (s.reward, s.final_obs) == (0, obs)
        assert jnp.isfinite(s.obs)
        obs = s.obs


class Entries(dict):
    """A configuration, by the methods of ``ml_collections.ConfigDict`` that are used."""

    __getattr__ = dict.__getitem__
    locked = False

    def lock(self):
        self.locked = True
        return self

    def update_from_flattened_dict(self, entries):
        for path, value in entries.items():
            *parents, name = path.split(".")
            place = self
            for parent in parents:
                place = place[parent]
            if self.locked and name not in place:
                raise KeyError(f"{name} does not exist")
            place[name] = value


@pytest.fixture
def libraries(monkeypatch):
    """Both libraries by their interface; returns what their environments were made with."""
    made = []

    def get_environment(name, **kwargs):
        made.append(kwargs)
        if kwargs.get("backend") == "magic":
            raise ValueError("backend should be in")
        return Slide()

    def load(name, config):
        made.append(dict(config))
        if name == "Go1":
            raise FileNotFoundError("git")
        return Sensed()

    registry = SimpleNamespace(
        ALL_ENVS=("Slide", "Go1"),
        load=load,
        get_default_config=lambda name: Entries(
            episode_length=2, action_repeat=1, impl="warp", scales={"alive": 1.0, "fast": 2.0}
        ),
    )
    monkeypatch.setitem(sys.modules, "brax.envs", SimpleNamespace(_envs={"slide": 0}, get_environment=get_environment))
    monkeypatch.setitem(sys.modules, "mujoco_playground", SimpleNamespace(registry=registry))
    monkeypatch.setitem(sys.modules, "gymnax", None)  # where an unknown name is looked for too: seconds to import
    return made


def test_settings_of_an_id_reach_the_environment_and_its_episodes(libraries):
    env = make_env("brax:slide", env_kwargs={"backend": "spring", "episode_length": 2})
    assert libraries.pop() == {"backend": "spring"}
    assert [bool(s.truncated) for s in steps(env, 0.0, 2)[1]] == [False, True]
    env = make_env("playground:Slide")
    scales = {"alive": 1.0, "fast": 2.0}
    assert libraries.pop() == {"episode_length": 2, "action_repeat": 1, "impl": "jax", "scales": scales}  # on CPU
    assert [bool(s.truncated) for s in steps(env, 0.0, 2)[1]] == [False, True]
    settings = {"impl": "warp", "action_repeat": 2, "observation": "privileged_state", "scales": {"fast": 3.0}}
    env = make_env("playground:Slide", env_kwargs=settings)
    assert libraries.pop() == {
        "episode_length": 2,
        "action_repeat": 2,
        "impl": "warp",
        "scales": scales | {"fast": 3.0},
    }
    assert steps(env, 0.0, 1)[1][0].obs.shape == (2,)


@pytest.mark.parametrize(
    ("env", "kwargs", "kind", "message"),
    [
        ("brax:slid", {}, UsageError, "brax has no environment 'slid'. Did you mean slide"),
        ("brax:slide", {"backend": "magic"}, UsageError, "env_kwargs of brax:slide: ValueError: backend should be in"),
        ("brax:slide", {"episode_length": 0}, UsageError, "episode_length = 0: must be"),
        ("playground:Slid", {}, UsageError, "playground has no environment 'Slid'. Did you mean Slide"),
        ("playground:Slide", {"nonsense": 1}, UsageError, "nonsense.*It has episode_length, action_repeat, impl"),
        ("playground:Slide", {"scales": {"nonsense": 1}}, UsageError, "nonsense does not exist"),
        ("playground:Slide", {"episode_length": None}, UsageError, "episode_length = None: must be an integer"),
        ("playground:Go1", {}, DependencyError, "needs the robots of MuJoCo Menagerie, which .* downloads from GitHub"),
    ],
)
def test_what_cannot_be_made_is_answered_with_the_reason(env, kwargs, kind, message, libraries):
    with pytest.raises(kind, match=message):
        make_env(env, env_kwargs=kwargs)


def test_a_library_that_does_not_fit_what_is_installed_is_named(tmp_path, monkeypatch):
    (tmp_path / "mujoco_playground.py").write_text("from jax import no_such_name")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mujoco_playground", raising=False)
    with pytest.raises(DependencyError, match=r"cannot be imported with what is installed .*no_such_name"):
        make_env("playground:CartpoleBalance")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "module", "kwargs"),
    [
        ("brax:inverted_pendulum", "brax", {"episode_length": 12, "backend": "spring"}),
        ("brax:fast", "brax", {"episode_length": 12, "action_repeat": 2}),
        ("playground:CartpoleBalance", "mujoco_playground", {"episode_length": 12}),
    ],
)
def test_a_real_environment_trains_and_resumes_to_the_same_bits(env, module, kwargs, tmp_path):
    extra = env.partition(":")[0]
    pytest.importorskip(module, reason=f"needs the extra {extra}: make test-physics")
    settings = {"num_envs": 2, "num_steps": 8, "minibatch_size": 8, "epochs": 1, "hidden": (4,), "eval_episodes": 2}
    settings |= {"env_kwargs": kwargs, "steps": 48, "preset": "none", "quiet": True}
    run = tmp_path / "run"
    with jax.numpy_rank_promotion("allow"):  # these libraries' code promotes
        whole = proximax.train(env, **settings)
        proximax.train(env, out=run, callbacks=[lambda rows: rows[0]["update"] == 2], **settings)
        parts = proximax.train(env, out=run, resume=True, **settings)
    assert whole.history[-1]["truncations"] > 0
    assert all(row["finite"] == 1 and row["first_ratio_error"] <= 1e-5 for row in whole.history)
    assert whole.evaluation.lengths.max() <= 12
    jax.tree.map(np.testing.assert_array_equal, whole.agent.params, parts.agent.params)
