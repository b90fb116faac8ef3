"""Runs of version 0.1 are loaded, resumed, evaluated and diagnosed, and the settings of its users are understood.

``tests/data/version-0.1`` was written by version 0.1 on the environment ``probe:choice``: ``trpo`` with every setting
that was called otherwise, ``custom`` with an algorithm of its own, and in ``resumed`` the policies of both after that
version had resumed them with one more update.
"""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

import proximax
from proximax.cli import main
from proximax.runs import RENAMED_METRICS, load_config
from tests.support import ROOT

OLD = ROOT / "tests" / "data" / "version-0.1"
SMALL = {"preset": "none", "num_envs": 2, "num_steps": 4, "minibatch_size": 8, "epochs": 1, "hidden": (2,)}
SMALL |= {"shared_torso": True, "eval_episodes": 2, "quiet": True}
TRPO = {"algo": "trpo", "max_kl": 0.02, "line_search_steps": 3, "advantage": "to-go", "eval_stochastic": True}
TRPO |= {"stop_at_return": 1e9, "keep_checkpoints": 1, "eval_every": 8}
OLD_TRPO = {"algo": "trpo", "delta": 0.02, "backtracks": 3, "credit": "to-go", "eval_sample": True}
OLD_TRPO |= {"stop_at": 1e9, "checkpoints_kept": 1, "eval_every": 8}
MINE = proximax.Algorithm("mine", lambda inputs, scheduled: inputs.advantage)


@pytest.fixture(params=["trpo", "custom"])
def name(request):
    return request.param


@pytest.fixture
def run(name, tmp_path):
    """A copy of an old run, which a test may change."""
    return shutil.copytree(OLD / name, tmp_path / "run")


def test_an_old_run_has_its_settings_under_the_names_of_today():
    config = load_config(OLD / "trpo")
    assert (config.ppo.max_kl, config.ppo.line_search_steps, config.ppo.advantage) == (0.02, 3, "to-go")
    assert (config.eval_stochastic, config.stop_at_return, config.keep_checkpoints) == (True, 1e9, 1)
    assert load_config(OLD / "custom").algo == "custom:mine"


def test_an_old_run_is_loaded_and_evaluated(run, capsys):
    agent = proximax.load(run)
    assert agent.act(np.zeros(agent.observation_space.shape, np.float32)) in (0, 1)
    assert proximax.evaluate(run, 2).returns.shape == (1, 2)
    assert main(["eval", str(run), "--episodes", "2"]) == 0
    assert "over 2 evaluation episodes" in capsys.readouterr().out


@pytest.mark.slow
def test_an_old_run_is_resumed_as_version_0_1_resumed_it(name, run):
    settings = (TRPO | {"steps": 24}) if name == "trpo" else {"algo": MINE, "steps": 16, "keep_checkpoints": 1}
    result = proximax.train("probe:choice", out=run, resume=True, **SMALL, **settings)
    assert any("exactly" in note for note in result.notes)
    saved = load_file(next(run.glob("checkpoints/*/policy.safetensors")))
    expected = load_file(OLD / "resumed" / f"{name}.safetensors")
    assert saved.keys() == expected.keys()
    for tensor, value in expected.items():
        np.testing.assert_allclose(saved[tensor], value, rtol=1e-5, atol=1e-6)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == list(range(1, len(rows) + 1))
    assert "return_last_100" in rows[-1]
    assert {"env_groups", "stop_at_return"} <= json.loads((run / "config.json").read_text()).keys()


@pytest.mark.slow
def test_an_old_run_is_resumed_with_the_old_names_of_settings_and_their_warnings(tmp_path):
    run = shutil.copytree(OLD / "trpo", tmp_path / "run")
    with pytest.warns(DeprecationWarning, match="the setting credit is now advantage") as warned:
        proximax.train("probe:choice", out=run, resume=True, steps=24, **SMALL, **OLD_TRPO)
    texts = {str(warning.message) for warning in warned}
    for old, new in (("delta", "max_kl"), ("credit", "advantage"), ("stop_at", "stop_at_return")):
        assert f"the setting {old} is now {new}" in texts


@pytest.mark.slow
def test_an_old_run_is_resumed_from_the_command_line(tmp_path, capsys):
    run = shutil.copytree(OLD / "trpo", tmp_path / "run")
    assert main(["train", "--resume", str(run), "--steps", "24", "--stop-at", "5"]) == 0
    err = capsys.readouterr().err
    assert "--stop-at is now --stop-at-return" in err
    assert "resumed at 16 steps, exactly" in err


def test_a_custom_algorithm_of_an_old_run_is_only_known_to_python(capsys):
    assert main(["train", "--resume", str(OLD / "custom")]) == 2
    assert "custom:mine, which only Python knows" in capsys.readouterr().err


def test_an_old_run_is_diagnosed(run, capsys):
    assert main(["doctor", str(run)]) == 0
    assert "probe:choice" in capsys.readouterr().out


def test_an_old_run_is_part_of_a_comparison(tmp_path):
    """What ``compare`` has trained already it takes as it is, also under the names of version 0.1."""
    pytest.importorskip("matplotlib")
    shutil.copytree(OLD / "trpo", tmp_path / "trpo")
    settings = {name: value for name, value in SMALL.items() if name != "quiet"} | {"steps": 16}
    settings |= {name: value for name, value in TRPO.items() if name != "algo"}
    before = (tmp_path / "trpo" / "result.json").read_bytes()
    comparison = proximax.compare("probe:choice", ["trpo"], out=tmp_path, seeds=1, quiet=True, **settings)
    assert (tmp_path / "trpo" / "result.json").read_bytes() == before
    assert comparison["runs"][0]["returns"] == [-1.0]
    assert comparison["runs"][0]["kl_bound"] == 0.02


def test_every_metric_of_version_0_1_has_a_name_today():
    """``recent_return`` and the others of the old rows are read under their new names."""
    old = json.loads((OLD / "trpo" / "metrics.jsonl").read_text().splitlines()[0])
    assert {RENAMED_METRICS.get(name, name) for name in old} <= proximax.runs.METRICS.keys()
