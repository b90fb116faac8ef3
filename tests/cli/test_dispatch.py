"""The command line as a user types it: exit codes, messages, what is left on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from proximax.cli.dispatch import default_directory, main
from proximax.runtime.version import proximax_version
from tests.support.saved_runs import arrays, save_run

QUICK = ["--steps", "512", "--num-envs", "4", "--eval-episodes", "3", "--quiet"]
QUICK += ["--ppo.num-steps", "32", "--ppo.minibatch-size", "64", "--ppo.epochs", "1"]
BAD_ENVS = """
import gymnasium, numpy as np
from gymnasium import spaces
from tests.support.toy_gym import Script

class Text(Script): observation_space = spaces.Dict({"a": spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Text(3)])})
class Graph(Script): observation_space = spaces.Graph(spaces.Box(-1, 1, (2,)), None)
class Low(Script):
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space.low[1] = 3.0
class Ctor(Script):
    def __init__(self): raise RuntimeError("licence server down")
class Reset(Script):
    def reset(self, *, seed=None, options=None): raise RuntimeError("no map")
class Old(Script):
    def step(self, action): return super().step(action)[:4]
class Chatty(Script):
    def step(self, action):
        print("hello from the environment")
        np.random.seed(0)
        return super().step(action)
class Deaf(Script):
    def reset(self, *, seed=None, options=None): return super().reset(seed=None)
for kind in (Text, Graph, Low, Ctor, Reset, Old, Chatty, Deaf):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind, disable_env_checker=True)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working directory with a package of bad environments."""
    (tmp_path / "bad_envs.py").write_text(BAD_ENVS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    sys.modules.pop("bad_envs", None)
    return tmp_path


def test_a_program_that_something_ends_has_not_ended_well(monkeypatch, capsys):
    def leave(command, arguments):
        raise SystemExit(0)

    monkeypatch.setattr("proximax.cli.dispatch.execute", leave)
    assert main(["presets"]) == 3
    assert "error[E3]: something that the environment uses ended the program: sys.exit(0)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("CartPol-v1", 2, "no environment 'CartPol-v1'. Did you mean CartPole-v1"),  # 1
        ("bad_envs:Text-v0", 2, "observation space at observation['a'][1] is a Text. Supported: Box, Discrete"),  # 3
        ("bad_envs:Graph-v0", 2, "observation space is a Graph. Supported: Box, Discrete"),
        ("bad_envs:Old-v0", 3, "Gymnasium >= 1.0 is needed"),  # 5
        ("bad_envs:Low-v0", 2, "action space bounds at (1,) are low = 3.0, high = 1.0"),  # 10
        ("bad_envs:Ctor-v0", 3, "raised in its constructor at step 0: RuntimeError: licence server down"),  # 12
        ("bad_envs:Reset-v0", 3, "raised in reset at step 0: RuntimeError: no map"),
        ("CartPole-v1 --ppo.minibatch-size 60", 2, "nearest that do: 16, 32, 64"),  # 30
        ("CartPole-v1 --ppo.gamma 1.5 --ppo.epochs 0 --ppo.epsilon -1 --num-envs 0", 2, "gamma = 1.5: must be"),  # 31
        ("CartPole-v1 --ppo.learning-rate nan", 2, "learning_rate = nan"),
        ("CartPole-v1 --steps 100", 2, "the least that works is 256"),  # 32
        ("CartPole-v1 --preset cartpol", 2, "did you mean 'cartpole'"),
        ("no_such_package:Env-v0", 6, "which Python does not find"),  # 35
        ("CartPole-v1 --device gpu", 6, "--device gpu"),  # 36
    ],
)
def test_bad_input_gets_one_message_and_leaves_nothing(arguments, code, message, here, capsys):
    before = sorted(here.iterdir())
    assert main(["train", *arguments.split(), "--quiet"]) == code
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if "proximax: error" in line]
    assert len(errors) == 1
    assert errors[0].startswith(f"proximax: error[E{code}]: ")
    assert message in errors[0]
    assert "Traceback" not in err
    assert out == ""
    assert [p for p in sorted(here.iterdir()) if p.name != "__pycache__"] == before


def test_all_wrong_settings_are_named_at_once(here, capsys):
    main(["train", "CartPole-v1", "--ppo.gamma", "1.5", "--ppo.epochs", "0", "--seeds", "0", "--num-envs", "-1"])
    err = capsys.readouterr().err
    assert all(part in err for part in ("gamma = 1.5", "epochs = 0", "seeds = 0", "num_envs = -1"))


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        ("train CartPole-v1 --ppo.epsilom 0.1", "--ppo.epsilon"),
        ("train CartPole-v1 --sedes 3", "--seeds"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_name(arguments, near, capsys):
    with pytest.raises(SystemExit) as info:
        main(arguments.split())
    assert info.value.code == 2
    assert near in capsys.readouterr().err


def test_help_shows_the_settings_that_the_environments_preset_would_use(capsys):
    with pytest.raises(SystemExit) as info:
        main(["train", "CartPole-v1", "--help"])
    assert info.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "K, passes over each rollout (of the critic alone for reinforce, npg, trpo)." in text
    assert "Source: arXiv 1707.06347, table 3. (default: 20)" in text
    assert "S, number of seeds that train side by side. (default: 1)" in text
    for command in ([], ["eval"], ["presets"]):
        with pytest.raises(SystemExit) as info:
            main([*command, "--help"])
        assert info.value.code == 0


def test_a_policy_is_exported_and_evaluated_without_its_run(here, capsys):
    pytest.importorskip("onnx")
    save_run(here / "run", *arrays()[1:])
    assert main(["export", "run", "-o", "policy.onnx", "--seed", "6", "--check", "20"]) == 0
    assert "policy.onnx: " in capsys.readouterr().out
    assert main(["export", "run", "--format", "npz", "--check", "20"]) == 0
    assert "next: proximax eval policy.npz --allow-import\n" in capsys.readouterr().out
    assert main(["eval", "policy.onnx"]) == 2  # its config names a package: only with consent
    assert "--allow-import" in capsys.readouterr().err
    assert main(["eval", "missing.onnx"]) == 4
    assert "missing.onnx cannot be read" in capsys.readouterr().err
    assert main(["export", "run", "-o", "policy.txt"]) == 2


def test_a_policy_that_comes_with_proximax_is_evaluated(here, capsys):
    pytest.importorskip("onnx")
    assert main(["export", "zoo:CartPole-v1"]) == 2
    assert "comes from an exported file: copy that file" in capsys.readouterr().err
    assert main(["eval", "zoo:CartPole-v1", "--episodes", "2"]) == 0
    assert "mean 500 over 2 evaluation episodes" in capsys.readouterr().out


@pytest.mark.slow
def test_train_then_eval_as_a_user_would(here, capsys):
    assert main(["train", "CartPole-v1", "--seeds", "2", "--out", "first", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "512 steps" in out or "steps each" in out
    assert "proximax eval first" in out
    assert "interquartile mean" in out
    assert json.loads(Path("first/config.json").read_text())["preset"] == "cartpole"
    assert main(["eval", "first", "--episodes", "5"]) == 0
    out = capsys.readouterr().out
    assert "over 5 evaluation episodes of each of 2 seeds" in out
    assert "seed 1: mean" in out
    assert main(["eval", "first", "--episodes", "5", "--stochastic", "--seed", "3"]) == 0
    capsys.readouterr()
    assert main(["train", "CartPole-v1", "--out", "first", *QUICK]) == 5
    assert "already holds a run" in capsys.readouterr().err
    assert main(["eval", "nowhere"]) == 4
    assert "nowhere/config.json is missing" in capsys.readouterr().err.replace("\\", "/")


@pytest.mark.slow
def test_a_game_is_trained_and_evaluated_as_a_user_would(here, capsys):
    """Evaluations are of whole games, cut here at 15 steps, and draw actions as the preset of all games says."""
    pytest.importorskip("ale_py")
    size = ["--atari.height", "10", "--atari.width", "10", "--atari.frame-cap", "60", "--ppo.num-steps", "128"]
    size += [
        "--num-envs",
        "4",
        "--ppo.minibatch-size",
        "512",
        "--ppo.epochs",
        "1",
        "--network",
        "mlp",
        "--env-groups",
        "2",
    ]
    command = ["train", "ALE/Pong-v5", "--steps", "2048", *size, "--eval-episodes", "2", "--out", "run", "--quiet"]
    assert main(command) == 0
    assert "ALE/Pong-v5, clip, 1 seed: 2,048 steps" in capsys.readouterr().out
    config = json.loads(Path("run/config.json").read_text())
    assert (config["preset"], config["eval_stochastic"], config["env"]) == ("pong", True, "gymnasium:ALE/Pong-v5")
    assert (config["atari"]["height"], config["atari"]["frame_cap"], config["atari"]["stack"]) == (10, 60, 2)
    for how in ([], ["--deterministic"], ["--stochastic"]):
        assert main(["eval", "run", "--episodes", "2", *how]) == 0
        assert "over 2 evaluation episodes" in capsys.readouterr().out
    assert main(["eval", "run", "--stochastic", "--deterministic"]) == 2
    assert "--stochastic and --deterministic: give one of them" in capsys.readouterr().err


@pytest.mark.slow
def test_eval_does_not_import_what_only_a_config_names(here, capsys):
    assert main(["train", "bad_envs:Chatty-v0", "--out", "run", *QUICK]) == 0
    del sys.modules["bad_envs"]
    capsys.readouterr()
    assert main(["eval", "run", "--episodes", "2"]) == 2
    assert "--allow-import" in capsys.readouterr().err
    assert main(["train", "--resume", "run"]) == 2
    assert "bad_envs" not in sys.modules
    assert main(["eval", "run", "--episodes", "2", "--allow-import"]) == 0
    del sys.modules["bad_envs"]
    assert main(["train", "bad_envs:Chatty-v0", "--resume", "run"]) == 0  # the command names it, too


def test_an_environment_that_ignores_its_seed_is_told_once(here, capsys):
    assert main(["train", "bad_envs:Deaf-v0", "--out", "run", *(x for x in QUICK if x != "--quiet")]) == 0
    note = "the environment ignores its seed"
    assert capsys.readouterr().err.count(note) == 1
    assert note in json.loads(Path("run/result.json").read_text())["notes"][0]


@pytest.mark.slow
def test_bench_says_what_holds_a_run_back(here, capsys):
    small = ["--num-envs", "4", "--ppo.num-steps", "16", "--ppo.minibatch-size", "32", "--seconds", "0.05"]
    assert main(["bench", "CartPole-v1", *small]) == 0
    out = capsys.readouterr().out
    for part in ("environment alone", "acting alone", "learning alone", "the run", "GFLOP/s", "memory: a rollout"):
        assert part in out
    assert "Most time goes to" in out
    assert not list(here.glob("runs"))
    assert main(["bench", "CartPole-v1", *small[:-1], "0"]) == 2
    assert "--seconds 0.0: must be positive" in capsys.readouterr().err


def test_debug_shows_the_traceback(here, capsys):
    assert main(["train", "bad_envs:Ctor-v0", "--debug"]) == 3
    assert "licence server down" in capsys.readouterr().err.split("Traceback")[1]


def test_presets_lists_every_preset_with_its_expected_return(capsys, monkeypatch):
    from proximax.config.presets import PRESETS

    monkeypatch.setenv("COLUMNS", "200")
    assert main(["presets"]) == 0
    out = capsys.readouterr().out
    assert all(name in out and preset.expected in out for name, preset in PRESETS.items())


def test_default_directories_are_new_and_have_harmless_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = default_directory("gymnasium:../../x:Env-v0", "clip")
    assert first.parent == Path("runs")
    assert set(first.name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    first.mkdir(parents=True)
    assert default_directory("gymnasium:../../x:Env-v0", "clip") != first


@pytest.mark.process
@pytest.mark.slow
def test_the_installed_command_starts_and_answers_quickly(tmp_path):
    """A real process: version, and an error with its exit code."""
    command = [sys.executable, "-m", "proximax.cli"]
    run = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert run.returncode == 0
    assert run.stdout.strip()
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [*command, "train", "CartPol-v1"], capture_output=True, text=True, timeout=60, cwd=tmp_path, env=environment
    )
    assert run.returncode == 2
    assert "Did you mean CartPole-v1" in run.stderr
    assert run.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_python_m_proximax_is_the_command_line():
    ran = subprocess.run([sys.executable, "-m", "proximax", "--version"], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout.strip()) == (0, proximax_version())


def test_a_mistyped_command_ends_with_exit_code_2(capsys):
    assert main(["trian", "CartPole-v1"]) == 2
    assert capsys.readouterr().err == "proximax: error[E2]: no command 'trian'; did you mean train?\n"


def test_watch_serves_until_ctrl_c_which_ends_it_well(monkeypatch, capsys):
    asked = {}

    class Page:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            asked["closed"] = True

        def wait(self):
            raise KeyboardInterrupt

    monkeypatch.setattr("proximax.cli.existing_runs.watch", lambda *runs, **how: asked.update(how, runs=runs) or Page())
    monkeypatch.setenv("PROXIMAX_TOKEN", "a token of the environment")
    assert main(["watch", "runs/a", "runs/b", "--port", "0"]) == 0
    assert asked == {
        "runs": ("runs/a", "runs/b"),
        "host": "127.0.0.1",
        "port": 0,
        "token": "a token of the environment",
        "in_thread": True,
        "closed": True,
    }


@pytest.mark.fault(40)
def test_watch_on_another_host_needs_a_token(capsys, monkeypatch):
    monkeypatch.delenv("PROXIMAX_TOKEN", raising=False)
    assert main(["watch", "--host", "0.0.0.0"]) == 2
    assert "--token" in capsys.readouterr().err
