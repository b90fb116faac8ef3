import json
import time
from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces

from proximax.config import PPOConfig, RunConfig
from proximax.errors import CheckpointError, UsageError
from proximax.runs.checkpoint import save_checkpoint
from proximax.web import policies
from proximax.web.policies import Policies, canvas_problem, is_playable
from tests.support.saved_runs import filled, header, newest, save_run, sign, snapshot

OBS, ACTIONS = spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(2)
CONFIG = RunConfig("CartPole-v1", seeds=3, seed=5, ppo=PPOConfig(hidden=(4,)))


@pytest.fixture
def run(tmp_path):
    """A finished run of three seeds, the second of which scored best."""
    return save_run(tmp_path / "run", *filled(OBS, ACTIONS, CONFIG.ppo)[1:], OBS, ACTIONS, CONFIG)


def files(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*")}


@pytest.mark.parametrize(
    ("config", "part"),
    [
        (RunConfig("CartPole-v1"), ""),
        (RunConfig("gymnasium:Acrobot-v1"), ""),
        (RunConfig("probe:choice"), "probe:choice cannot be played in the page; these can: CartPole-v1, Pendulum-v1"),
        (RunConfig("gymnax:CartPole-v1"), "gymnax:CartPole-v1 cannot"),
        (RunConfig("Pendulum-v1", env_kwargs={"g": 9.81}), "changed its arguments: g"),
        (RunConfig("CartPole-v1", hide_velocities=True), "sees other observations"),
        (RunConfig("CartPole-v1", show_previous=True), "sees other observations"),
    ],
)
def test_which_runs_have_a_canvas(config, part):
    assert part in canvas_problem(config)
    assert bool(canvas_problem(config)) == bool(part)


def test_the_policy_of_the_best_seed_or_of_one_that_is_named(run):
    before, kept = files(run), Policies()
    answer = json.loads(kept.answer(run, "<b>", "last", None))
    assert (answer["name"], answer["env"], answer["seed"]) == ("<b>", "CartPole-v1", 6)
    assert (answer["first_seed"], answer["seeds"], answer["steps"]) == (5, 3, 400)
    assert (answer["weights"]["about"]["kind"], answer["weights"]["about"]["layers"]) == ("choices", 1)
    assert abs(answer["saved"] - time.time()) < 3600
    other = json.loads(kept.answer(run, "<b>", "best", 7))
    assert other["seed"] == 7
    assert other["weights"]["arrays"] != answer["weights"]["arrays"]
    with pytest.raises(CheckpointError, match="no seed 9"):
        kept.answer(run, "<b>", "last", 9)
    assert files(run) == before


def test_a_policy_is_made_once_for_each_checkpoint(run, monkeypatch):
    made = []
    monkeypatch.setattr(policies, "policy_json", lambda *how: made.append(how) or {"number": len(made)})
    kept = Policies()
    assert kept.answer(run, "a", "last", None) == kept.answer(run, "a", "best", None)
    assert len(made) == 1
    save_checkpoint(
        run / "checkpoints", header(OBS, ACTIONS, CONFIG), snapshot(*filled(OBS, ACTIONS, CONFIG.ppo)[1:], update=9)
    )
    assert json.loads(kept.answer(run, "a", "last", None)) == {"name": "a", "number": 2}


def test_what_cannot_be_played_is_refused(run, tmp_path):
    values = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(values | {"env": "probe:choice"}))
    with pytest.raises(UsageError, match="probe:choice cannot be played in the page"):
        Policies().answer(run, "a", "last", None)
    empty = tmp_path / "empty"
    empty.mkdir()
    (empty / "config.json").write_text(json.dumps(CONFIG.to_json()))
    assert not is_playable(CONFIG, empty)
    assert is_playable(CONFIG, run)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        Policies().answer(empty, "a", "last", None)


def test_a_custom_network_is_left_to_its_program(tmp_path):
    run = save_run(tmp_path / "run", *filled(OBS, ACTIONS, CONFIG.ppo)[1:], OBS, ACTIONS, CONFIG)
    sign(newest(run, "manifest.json"), {"network": "custom"})
    with pytest.raises(UsageError, match="custom network"):
        Policies().answer(run, "a", "last", None)
