"""What a user meets: every row of docs/development/faults.md through the command line.

In this process, but for rows of which processes are killed, get signals, or lack memory, disk or a package. Row 14 is
in envs/workers/test_vector_env.py, row 40 in web/test_access.py and web/test_server.py; rows 41 to 45 are of several
machines.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from proximax.runs.checkpoint import checkpoint_names
from proximax.runtime.compilation import usable_cores
from tests.support import ROOT
from tests.support.cli_process import Shell, contents, finish, python, run_command, start

ENVS = ROOT / "tests" / "support" / "faulty_envs.py"
# Four updates of 64 rows; a checkpoint after each.
SMALL = "--preset none --quiet --eval-episodes 2 --num-envs 4 --ppo.num-steps 16 --ppo.minibatch-size 64"
SMALL += " --ppo.epochs 1 --ppo.hidden 8 --checkpoint-every 64 --keep-checkpoints 9"
QUICK = f"{SMALL} --steps 256"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of a good environment."""
    folder = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        run_command(f"train faulty:Walk-v0 --out finished {QUICK}").fine("proximax eval finished")
    assert len(checkpoint_names(folder / "finished" / "checkpoints")) == 4
    return folder / "finished"


def enter(folder, patch):
    """As a user in a folder with nothing but the environments."""
    shutil.copy(ENVS, folder / "faulty.py")
    patch.chdir(folder)
    patch.syspath_prepend(folder)


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """The command line, in this process."""
    enter(tmp_path, monkeypatch)
    run_command.cwd = tmp_path
    return run_command


@pytest.fixture
def processes(shell):
    """The command line, each command in a process of its own."""
    starter = Shell(shell.cwd)
    yield starter
    starter.close()


@pytest.fixture
def run(finished, shell):
    """A finished run that a test may spoil."""
    return Path(shutil.copytree(finished, shell.cwd / "run"))


def left(shell):
    """What is in the folder, but for the environments' module."""
    return {path.name for path in shell.cwd.iterdir()} - {"faulty.py", "faulty-was-imported", "__pycache__"}


def newest(run):
    return run / "checkpoints" / checkpoint_names(run / "checkpoints")[0]


def steps(run):
    return [int(name.removeprefix("step-")) for name in checkpoint_names(run / "checkpoints")]


def spoil(path):
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def edit(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def until(condition, seconds=60.0):
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


# ------------------------------------------------------------------------------------------- environments


@pytest.mark.slow
@pytest.mark.fault(1)
def test_an_unknown_environment_is_answered_with_the_nearest_name(shell):
    shell("train CartPol-v1").fault(2, "'CartPol-v1'", "Did you mean CartPole-v1", "gymnax:", "package:Env-v0")
    assert left(shell) == set()


@pytest.mark.fault(2)
@pytest.mark.parametrize("command", ["eval", "video", "train --resume"])
def test_a_package_that_only_a_file_names_is_not_imported(shell, run, command):
    shell(f"{command} run").fault(2, "'faulty'", "--allow-import")
    assert not (shell.cwd / "faulty-was-imported").exists()


@pytest.mark.fault(2)
def test_with_allow_import_it_is(shell, run):
    shell("eval run --episodes 2 --allow-import").fine("over 2 evaluation episodes")
    assert (shell.cwd / "faulty-was-imported").exists()


@pytest.mark.fault(3)
@pytest.mark.parametrize(
    ("env", "place"),
    [
        ("Graph", "observation space is a Graph"),
        ("Sequence", "observation['a'][1] is a Sequence"),
        ("OneOf", "action space is a OneOf"),
        ("Text", "observation['a'][1] is a Text"),
    ],
)
def test_a_space_that_is_not_supported_is_named_with_its_place(shell, env, place):
    supported = "Supported: Discrete, Box" if env == "OneOf" else "Supported: Box, Discrete"
    shell(f"train faulty:{env}-v0 --out run").fault(2, place, supported)
    assert left(shell) == set()


@pytest.mark.slow
@pytest.mark.fault(4)
def test_spaces_that_do_not_begin_at_zero_get_actions_they_contain(shell):
    shell(f"train faulty:Odd-v0 --out run {QUICK}").fine()
    shell("eval run --episodes 2 --stochastic --allow-import").fine()


@pytest.mark.fault(5)
@pytest.mark.parametrize("env", ["OldStep", "OldReset"])
def test_the_old_api_is_told_what_wraps_it(shell, env):
    shell(f"train faulty:{env}-v0 --out run").fault(3, "Gymnasium >= 1.0 is needed", "shimmy")
    assert left(shell) == set()


@pytest.mark.process
@pytest.mark.fault(6)
def test_a_vector_environment_must_state_its_autoreset_mode(shell):
    script = (
        "import faulty, gymnasium.vector as v, proximax, sys\n"
        "env = v.SyncVectorEnv([faulty.Walk] * 4)\n"
        "env.autoreset_mode = None; env.metadata = {}\n"
        "try: proximax.train(env, steps=64, num_steps=16, minibatch_size=64, out='run')\n"
        "except proximax.errors.UsageError as error: sys.exit(str(error))\n"
    )
    ran = python(script, shell.cwd)
    assert ran.code == 1
    assert "does not state its autoreset mode" in ran.err
    assert "next_step, same_step, disabled: autoreset=..., --autoreset on the command line" in ran.err
    assert left(shell) == set()


def kept_after_a_fault(shell, env, *more):
    """The run of an environment that misbehaves at step 40, in its third update: what is left can be used."""
    ran = shell(f"train faulty:{env}-v0 --out run {QUICK} {' '.join(more)}")
    run = shell.cwd / "run"
    assert steps(run)[0] == 128
    assert not (run / "result.json").exists()
    assert json.loads((run / "crash" / "crash.json").read_text())["steps"] == 128
    shell("eval run --episodes 2 --allow-import").fine()
    return ran, run


@pytest.mark.fault(7)
@pytest.mark.fault(8)
@pytest.mark.parametrize(("env", "what"), [("NaN", "observation"), ("NaNReward", "reward")])
def test_what_is_not_finite_ends_the_run_before_it_is_learned_from(shell, env, what):
    import numpy as np

    ran, run = kept_after_a_fault(shell, env)
    ran.fault(7, f"the {what} is not finite: nan in environment", "of seed 0, step 7 of this rollout")
    assert "NumericalError" in (run / "error.log").read_text()
    with np.load(run / "crash" / "rollout.npz", allow_pickle=False) as rollout:
        assert any(np.isnan(rollout[name]).any() for name in rollout.files if rollout[name].dtype.kind == "f")


@pytest.mark.slow
@pytest.mark.fault(8)
def test_a_loss_that_is_not_finite_is_not_stepped_on(shell):
    ran, run = kept_after_a_fault(shell, "Huge", "--ppo.scale-reward False")
    ran.fault(7, "not finite", "update 3 of seed 0", "Lower the learning rate, or look for huge rewards")
    assert (run / "crash" / "rollout.npz").exists()


@pytest.mark.fault(9)
def test_an_observation_unlike_its_space(shell):
    shell("train faulty:Shape-v0 --out run").fault(3, "the observation has shape (3,)", "says (2,)")
    shell("train faulty:Kind-v0 --out run").fault(3, "float64", "int32", "cannot hold without loss")
    assert left(shell) == set()
    ran = shell(f"train faulty:Outside-v0 --out run {QUICK}".replace(" --quiet", ""))
    ran.fine()
    assert ran.err.count("observations checked lie outside the bounds of their space") == 1


@pytest.mark.fault(10)
def test_wrong_bounds_of_the_action_space(shell):
    shell("train faulty:LowHigh-v0 --out run").fault(2, "action space bounds at (1,) are low = 3.0, high = 1.0")
    shell("train faulty:NaNBound-v0 --out run").fault(2, "action space bounds at (0,)", "nan")
    assert left(shell) == set()


@pytest.mark.fault(11)
def test_an_environment_that_raises(shell):
    ran, run = kept_after_a_fault(shell, "Raises")
    ran.fault(3, "environment 0 raised in step at step 39", "RuntimeError: the gripper is stuck")
    log = (run / "error.log").read_text()
    assert "faulty.py" in log
    assert "the gripper is stuck" in log
    assert "saved in run, the traceback in run/error.log\nnext: proximax train --resume run" in ran.err


@pytest.mark.fault(12)
def test_an_environment_that_cannot_begin(shell):
    shell("train faulty:NoConstructor-v0 --out run").fault(3, "constructor", "RuntimeError: licence server down")
    shell("train faulty:NoReset-v0 --out run").fault(3, "raised in reset", "RuntimeError: no map")
    assert left(shell) == set()


needs_workers = pytest.mark.skipif(len(usable_cores()) < 2, reason="one core: the environments are in this process")


@pytest.mark.process
@pytest.mark.fault(13)
@needs_workers
def test_a_worker_that_is_killed(shell):
    ran, _ = kept_after_a_fault(shell, "Dies")
    ran.fault(3, "env worker 0 (process", "of environments 0 to 1 died in step", "signal 9")


@pytest.mark.fault(15)
def test_an_environment_that_prints_and_seeds_changes_nothing(shell, run):
    shell(f"train faulty:Chatty-v0 --out chatty {QUICK}").fine("hello from the environment")
    for name in ("policy.safetensors", "state.safetensors"):
        assert (newest(shell.cwd / "chatty") / name).read_bytes() == (newest(run) / name).read_bytes()


@pytest.mark.fault(16)
def test_an_environment_that_ignores_its_seed_is_told_once(shell):
    ran = shell(f"train faulty:Deaf-v0 --out run {QUICK}".replace(" --quiet", ""))
    ran.fine()
    assert ran.err.count("the environment ignores its seed") == 1
    assert "ignores its seed" in str(json.loads((shell.cwd / "run" / "result.json").read_text())["notes"])


@pytest.mark.slow
@pytest.mark.fault(17)
def test_episodes_without_an_end_give_no_score(shell, monkeypatch):
    monkeypatch.setattr(sys.modules["proximax.evaluation.evaluator"], "MAX_EPISODE_STEPS", 1000)
    ran = shell(f"train faulty:Endless-v0 --out run {QUICK} --eval-episodes 1")
    ran.fine("no episode finished in 256 steps", "return    n/a")
    assert json.loads((shell.cwd / "run" / "result.json").read_text())["return_mean"] is None


# ------------------------------------------------------------------------------------------- checkpoints


@pytest.mark.fault(18)
def test_a_checkpoint_of_other_spaces_is_refused_with_the_difference(shell):
    shell(f"train faulty:Grows-v0 --out run {QUICK}").fine()
    (shell.cwd / "grown").touch()
    before = contents(shell.cwd / "run")
    ran = shell("train --resume run --steps 512 --allow-import")
    ran.fault(4, "observation_space", "shape: [2] there, [3] here")
    shell("eval run --allow-import").fault(4, "observation space", "(2,)", "(3,)")
    assert contents(shell.cwd / "run") == before


@pytest.mark.fault(19)
def test_a_checkpoint_of_other_settings_is_refused_with_what_may_change(shell, run):
    before = contents(run)
    ran = shell("train --resume run --allow-import --steps 512 --ppo.gamma 0.5 --ppo.hidden 8 8")
    ran.fault(4, "ppo.gamma = 0.99 there, 0.5 asked for", "ppo.hidden", "Only these may change: steps, ")
    shell("train --resume run CartPole-v1").fault(4, "env = 'gymnasium:faulty:Walk-v0' there, 'gymnasium:CartPole-v1'")
    assert contents(run) == before


@pytest.mark.slow
@pytest.mark.fault(20)
def test_a_damaged_checkpoint_is_passed_over_loudly(shell, run):
    spoil(newest(run) / "policy.safetensors")
    ran = shell("eval run --episodes 2 --allow-import")
    ran.fine("step-000000000256/policy.safetensors is damaged", "Using step-000000000192 instead")
    assert steps(run) == [256, 192, 128, 64]  # an evaluation changes nothing
    for attempt in ("", "-1"):
        shell("train --resume run --allow-import").fine("resumed at 192 steps", "Using step-000000000192 instead")
        assert steps(run) == [256, 192, 128, 64]
        assert (run / "checkpoints" / f"damaged-step-000000000256{attempt}").is_dir()
        spoil(newest(run) / "state.safetensors")


@pytest.mark.fault(21)
def test_no_checkpoint_that_is_whole(shell, run):
    for name in checkpoint_names(run / "checkpoints"):
        spoil(run / "checkpoints" / name / "state.safetensors")
    before = contents(run)
    for arguments in ("--resume run", f"faulty:Walk-v0 --out run --resume auto {QUICK}"):
        ran = shell(f"train {arguments} --steps 512 --allow-import")
        ran.fault(4, "no checkpoint of run can be used", *checkpoint_names(run / "checkpoints"))
        assert contents(run) == before


@pytest.mark.fault(22)
def test_a_checkpoint_of_a_later_version(shell, run):
    edit(newest(run) / "manifest.json", format=99, version="9.9")
    before = contents(run)
    for command in ("eval", "train --resume"):
        shell(f"{command} run --allow-import").fault(
            4, "format 99, made by proximax '9.9'; this is proximax", "upgrade"
        )
    assert contents(run) == before


@pytest.mark.fault(23)
def test_a_run_without_a_checkpoint_is_begun_again_only_when_asked(shell, run):
    shutil.rmtree(run / "checkpoints")
    shell("train --resume run --allow-import").fault(4, "run holds no checkpoint", "--resume auto")
    shell("train --resume nowhere").fault(4, "nowhere/config.json is missing")
    auto = f"train faulty:Walk-v0 --out run --resume auto {QUICK}".replace(" --quiet", "")
    shell(auto).fine("run holds no checkpoint: the run starts from the beginning")
    assert steps(run) == [256, 192, 128, 64]
    again = shell(auto)
    again.fine("resumed at 256 steps")
    assert "beginning" not in again.err
    assert left(shell) == {"run"}


# ------------------------------------------------------------------------------------------- disk, signals, locks


def limited(size, what=resource.RLIMIT_FSIZE):
    """What makes every file of a process end at so many bytes, as on a full disk."""
    return lambda: resource.setrlimit(what, (size, size))


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(24)
def test_a_full_disk_costs_rows_but_not_the_training(shell):
    size = 20_000  # less than the rows take; enough for a checkpoint, which also keeps the rows that wait
    ran = finish(start(f"train faulty:Walk-v0 --out full {SMALL} --steps 2560", shell.cwd, preexec_fn=limited(size)))
    ran.fault(5, "metrics.jsonl lacks its last", "the disk did not take them")
    assert ran.err.count("metrics.jsonl: File too large; buffering metrics") == 1
    full = shell.cwd / "full"
    assert steps(full)[0] == 2560
    rows = (full / "metrics.jsonl").read_text()
    assert rows.endswith("}\n")  # none is cut in two
    assert 5 < rows.count("\n") < 40
    shell("eval full --episodes 2 --allow-import").fine()
    # From where the disk had room again; then the rows that waited are there too.
    shell("train --resume full --steps 2624 --allow-import").fine("resumed at 2,560 steps")
    assert [json.loads(row)["update"] for row in (full / "metrics.jsonl").read_text().splitlines()] == list(
        range(1, 42)
    )


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(24)
def test_a_disk_that_takes_next_to_nothing_ends_no_update(shell, run):
    size = max(path.stat().st_size for path in newest(run).iterdir()) + 2000
    ran = finish(start(f"train faulty:Walk-v0 --out full {SMALL} --steps 2560", shell.cwd, preexec_fn=limited(size)))
    ran.fault(5, "the last checkpoint could not be saved in /", "/full/checkpoints: ", "File too large")
    for part in (
        "metrics.jsonl: File too large; buffering metrics",
        "tensorboard: File too large; TensorBoard logging disabled",
    ):
        assert ran.err.count(part) == 1
    assert "could not save at 2,560 steps" in ran.err  # it trained to its end


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(24)
def test_a_checkpoint_that_the_disk_does_not_take_leaves_the_one_before(shell, run):
    old = contents(run / "checkpoints")
    (run / "metrics.jsonl").unlink()
    size = (newest(run) / "state.safetensors").stat().st_size - 100
    arguments = "train --resume run --steps 512 --allow-import"
    ran = finish(start(arguments, shell.cwd, preexec_fn=limited(size)))
    ran.fault(5, "the last checkpoint could not be saved in /", "/run/checkpoints: ", "File too large")
    assert "could not save at 320 steps" in ran.err
    assert "Training continues and will try again" in ran.err
    assert contents(run / "checkpoints") == old
    shutil.rmtree(shell.cwd / "__pycache__", ignore_errors=True)  # Python cuts its own files short without a word
    shell(arguments).fine("resumed at 256 steps")


@pytest.mark.fault(25)
def test_a_place_that_cannot_be_written_is_found_before_the_environment_is_made(shell):
    (shell.cwd / "file").touch()
    for place in ("file/run", "file", "/proc/run"):
        shell(f"train faulty:Walk-v0 --out {place}").fault(5, f"cannot write to {place}", "Choose another --out")
    assert left(shell) == {"file"}
    assert not (shell.cwd / "faulty-was-imported").exists()


KILLED = """
import os, signal, sys
import proximax.runs.checkpoint as checkpoint
from proximax.cli import main
write, written = checkpoint.write_through, []
def write_through(path, data):
    written.append(path)
    if len(written) == 5:  # the second file of the second checkpoint
        with path.open("wb") as file:
            file.write(data[: len(data) // 2])
            file.flush()
            os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)
checkpoint.write_through = write_through
main(sys.argv[1:])
"""


@pytest.mark.process
@pytest.mark.fault(26)
@pytest.mark.fault(29)
@pytest.mark.slow
def test_a_run_killed_while_saving_goes_on_from_the_checkpoint_before(shell):
    assert python(KILLED, shell.cwd, "train", "faulty:Walk-v0", "--out", "run", *QUICK.split()).code == -9
    run = shell.cwd / "run"
    assert list((run / "checkpoints").glob(".new-*"))
    assert steps(run) == [64]
    shell("train --resume run --allow-import").fine("resumed at 64 steps")  # and its lock is taken over
    assert steps(run) == [256, 192, 128, 64]
    assert not list((run / "checkpoints").glob(".*"))
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["update"] for row in rows] == [1, 2, 3, 4]


def children(pid):
    """The processes that a process has started."""
    return [int(x) for x in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pids):
    """Those that have not ended."""
    found = []
    for pid in pids:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


ENDLESS = f"--out run {SMALL} --steps 1000000000 --checkpoint-every 0.2s"


@pytest.mark.process
@pytest.mark.fault(27)
@pytest.mark.fault(28)
@pytest.mark.fault(29)
@pytest.mark.slow
@needs_workers
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_ends_and_meanwhile_nobody_else_gets_in(shell, number, code):
    process, run = start(f"train faulty:Slow-v0 {ENDLESS}", shell.cwd), shell.cwd / "run"
    try:
        until(lambda: checkpoint_names(run / "checkpoints"))
        workers = children(process.pid)
        assert workers
        ran = shell("train --resume run --allow-import")
        ran.fault(5, "run is in use by another process", str(process.pid), "choose another --out")
        before = steps(run)[0]
        process.send_signal(number)
        ran = finish(process, 20.0)
    finally:
        process.kill()
    assert ran.code == code, ran.err
    assert "saved in run" in ran.err
    assert "proximax train --resume run" in ran.err
    assert "Traceback" not in ran.err
    until(lambda: not alive(workers), 5.0)
    assert steps(run)[0] > before
    assert not (run / "error.log").exists()
    last = steps(run)[0]
    shell(f"train --resume run --allow-import --steps {last + 64}").fine(f"resumed at {last:,} steps")


@pytest.mark.process
@pytest.mark.fault(27)
@needs_workers
def test_a_second_ctrl_c_ends_at_once(shell):
    process = start(f"train faulty:Stuck-v0 {ENDLESS}", shell.cwd)
    try:
        until(lambda: (shell.cwd / "stuck").exists())
        workers = children(process.pid)
        assert workers
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(5.0) == 130  # the update takes a minute
        until(lambda: not alive(workers), 5.0)
        assert "SIGINT: stopping after this update; press Ctrl-C again to exit immediately" in finish(process).err
    finally:
        process.kill()


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(27)
def test_a_signal_cuts_the_final_evaluation_of_a_run_that_is_saved(shell):
    process = start(f"train faulty:Endless-v0 --out run {QUICK} --eval-episodes 100000", shell.cwd)
    try:
        until(lambda: checkpoint_names(shell.cwd / "run" / "checkpoints")[:1] == ["step-000000000256"])
        time.sleep(1.0)
        process.send_signal(signal.SIGTERM)
        ran = finish(process, 10.0)
    finally:
        process.kill()
    assert ran.code == 143, ran.err
    assert "saved in run" in ran.err
    assert steps(shell.cwd / "run") == [256, 192, 128, 64]


@pytest.mark.fault(29)
def test_a_directory_that_holds_a_run_is_not_written_to(shell, run):
    before = contents(run)
    shell(f"train faulty:Walk-v0 --out run {QUICK}").fault(5, "run already holds a run", "--resume run")
    (run / "config.json").rename(shell.cwd / "config.json")
    shell(f"train faulty:Walk-v0 --out run {QUICK}").fault(5, "run already holds a run")
    (shell.cwd / "config.json").rename(run / "config.json")
    assert contents(run) == before


# ------------------------------------------------------------------------------------------- settings


@pytest.mark.fault(30)
def test_sizes_that_do_not_divide(shell):
    ran = shell("train CartPole-v1 --preset none --ppo.minibatch-size 60 --num-envs 4 --ppo.num-steps 64")
    ran.fault(2, "minibatch_size = 60", "64 x 4 = 256", "nearest that do: 16, 32, 64")
    assert left(shell) == set()


@pytest.mark.fault(31)
def test_all_settings_out_of_range_are_named_at_once(shell):
    wrong = {"ppo.gamma": "1.5", "ppo.epsilon": "0", "ppo.epochs": "0", "num-envs": "0", "ppo.learning-rate": "nan"}
    wrong |= {"seeds": "-1", "ppo.value-coef": "inf", "checkpoint-every": "soon", "seed": str(10**400)}
    ran = shell(["train", "CartPole-v1", *(x for name, value in wrong.items() for x in (f"--{name}", value))])
    names = [name.removeprefix("ppo.").replace("-", "_") for name in wrong]
    ran.fault(2, *(f"{name} = " for name in names), "gamma = 1.5: must be a number >= 0 and <= 1")
    assert left(shell) == set()


@pytest.mark.fault(32)
def test_fewer_steps_than_one_rollout(shell):
    shell("train CartPole-v1 --steps 100").fault(2, "steps = 100", "the least that works is 256")


@pytest.mark.fault(33)
def test_a_typo_is_answered_with_the_nearest_name(shell, run):
    ran = shell("train CartPole-v1 --ppo.epsilom 0.1")
    assert ran.code == 2
    assert "--ppo.epsilon" in ran.err
    config = json.loads((run / "config.json").read_text())
    edit(run / "config.json", ppo=config["ppo"] | {"epsilom": 0.1})
    shell("eval run --allow-import").fault(2, "run/config.json: unknown setting 'epsilom'", "did you mean 'epsilon'")


@pytest.mark.fault(34)
def test_wrong_types_and_keys_that_are_there_twice(shell, run):
    text = (run / "config.json").read_text()
    edit(run / "config.json", ppo=json.loads(text)["ppo"] | {"learning_rate": "1e-4"}, steps="many")
    shell("eval run --allow-import").fault(2, "run/config.json: steps = many", "learning_rate = 1e-4: must be a number")
    (run / "config.json").write_text(text.replace('"seeds"', '"seed": 7,\n  "seeds"'))
    shell("eval run --allow-import").fault(4, "run/config.json", "the key 'seed' occurs twice")


@pytest.mark.process
@pytest.mark.fault(35)
def test_a_package_that_is_missing_comes_with_its_install_line(processes):
    processes("train no_such_package:Env-v0").fault(6, "which Python does not find")
    processes("train envpool:CartPole-v1", missing=("envpool",)).fault(6, 'pip install "proximax[envpool]"')
    processes("train gymnax:CartPole-v1", missing=("gymnax",)).fault(6, 'pip install "proximax[gymnax]"')
    processes("train HalfCheetah-v5", missing=("mujoco",)).fault(6, 'pip install "proximax[mujoco]"')
    assert left(processes) == set()


@pytest.mark.process
@pytest.mark.fault(36)
def test_a_gpu_that_is_not_there(processes):
    ran = processes("train CartPole-v1 --device gpu")
    ran.fault(6, "--device gpu")
    assert left(processes) == set()


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.fault(37)
def test_a_run_that_memory_does_not_hold(shell):
    """Asked of Python before the run, and of XLA, which here may have 12 GB of addresses, in its first update."""
    train = f"train probe:constant --out run --preset none --quiet --ppo.minibatch-size None --steps {10**15}"
    remedy = ("out of memory", "llocat", "--num-envs", "XLA_PYTHON_CLIENT_PREALLOCATE=false")
    shell(f"{train} --ppo.hidden 3000000 3000000").fault(6, "TiB", *remedy)
    assert left(shell) == set()
    gigabytes = limited(12 << 30, resource.RLIMIT_AS)
    ran = finish(start(f"{train} --num-envs 8 --ppo.num-steps 250000000", shell.cwd, preexec_fn=gigabytes))
    ran.fault(6, "RESOURCE_EXHAUSTED: Out of memory allocating", *remedy)
    assert steps(shell.cwd / "run") == [0]
    assert "JaxRuntimeError" in (shell.cwd / "run" / "error.log").read_text()
    shell(f"{train} --num-envs 64 --ppo.num-steps 250000000").fault(
        2, "16000000000 transitions", "at most 2147483647 fit"
    )


@pytest.mark.fault(38)
def test_a_pickle_is_refused_by_its_checksum_before_it_is_parsed(shell, run):
    (newest(run) / "policy.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'touch boom'\ntR.")
    ran = shell(f"eval run --allow-import --checkpoint {newest(run).name}")
    ran.fault(4, "policy.safetensors is damaged")
    assert not (shell.cwd / "boom").exists()


@pytest.mark.fault(39)
@pytest.mark.parametrize("name", ["a b", "<script>", "=cmd()", "..", ".hidden", "x" * 101, "\x1b[31mred", "ü", "a\nb"])
def test_a_name_that_something_could_take_for_more_than_a_name(shell, name):
    shell(["train", "faulty:Walk-v0", "--out", f"runs/{name}"]).fault(2, "the run's name", "at most 100 characters")
    assert left(shell) == set()


@pytest.mark.process
@pytest.mark.fault(39)
def test_nul_cannot_be_typed_but_passed(shell):
    script = "import proximax; proximax.train('CartPole-v1', out='a\\0b/run')"
    assert "UsageError: --out 'a\\x00b/run'" in python(script, shell.cwd).err


@pytest.mark.fault(39)
@pytest.mark.parametrize("place", ["checkpoints", "metrics.jsonl", "error.log", "tensorboard/seed-0", ".lock"])
def test_links_in_a_run_are_not_followed(shell, run, place):
    outside = shell.cwd / "outside"
    if (run / place).is_dir():
        shutil.move(run / place, outside)
    else:
        outside.write_text("precious")
        (run / place).unlink(missing_ok=True)
    (run / place).symlink_to(outside)
    before = contents(shell.cwd)
    ran = shell("train --resume run --steps 512 --allow-import")
    ran.fault(5, f"run/{place} is a symbolic link")
    assert contents(shell.cwd) == before


@pytest.mark.slow
@pytest.mark.fault(39)
def test_a_link_in_the_place_of_a_file_half_written_is_not_written_through(shell, run):
    (shell.cwd / "outside").write_text("precious")
    (run / "config.json.tmp").symlink_to(shell.cwd / "outside")
    shell("train --resume run --steps 320 --allow-import").fine("resumed at 256 steps")
    assert (shell.cwd / "outside").read_text() == "precious"
    assert not list(run.rglob(".*.tmp*"))  # names that nobody can guess, and none is left


@pytest.mark.fault(39)
def test_a_run_may_be_reached_by_a_link_of_the_users_own(shell, run):
    (shell.cwd / "latest").symlink_to(run)
    shell("eval latest --episodes 2 --allow-import").fine()
    shell("train --resume latest --steps 320 --allow-import").fine("resumed at 256 steps")
    assert steps(run)[0] == 320
    assert os.path.islink(shell.cwd / "latest")


# ------------------------------------------------------------------------------------------- careless use of --resume


@pytest.mark.slow
def test_a_finished_run_goes_on_with_more_steps_and_not_with_fewer(shell, run):
    shell("train --resume run --allow-import --steps 512").fine("resumed at 256 steps", "512 steps")
    assert json.loads((run / "config.json").read_text())["steps"] == 512
    assert json.loads((run / "result.json").read_text())["steps"] == 512
    before = contents(run)
    shell("train --resume run --allow-import --steps 256").fault(4, "steps = 256", "has 512 already", "give more")
    assert contents(run) == before


@pytest.mark.slow
def test_a_lost_log_costs_its_rows_and_not_the_run(shell, run):
    text = (run / "metrics.jsonl").read_text()
    (run / "metrics.jsonl").write_text(text[:-10])
    ran = shell("train --resume run --allow-import --steps 320")
    ran.fine("metrics.jsonl lacks 10 bytes that were written: those rows are lost", "resumed at 256 steps")
    rows = [json.loads(line)["update"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert rows == [1, 2, 3, 5]
    (run / "metrics.jsonl").unlink()
    shell("train --resume run --allow-import --steps 384").fine("those rows are lost", "resumed at 320 steps")


def test_a_run_whose_config_is_gone_has_it_from_its_checkpoint_and_says_so(shell, run):
    said = "run/config.json is missing: its settings are taken from run/checkpoints/step-000000000256"
    before = (run / "config.json").read_bytes()
    (run / "config.json").unlink()
    shell("eval run --episodes 2").fault(2, "--allow-import")
    shell("eval run --episodes 2 --allow-import").fine(said)
    shell("train --resume run --allow-import").fine(said, "resumed at 256 steps")
    assert (run / "config.json").read_bytes() == before
    (run / "config.json").unlink()
    shutil.rmtree(run / "checkpoints")
    for command in ("train --resume", "eval"):
        shell(f"{command} run --allow-import").fault(4, "run/config.json is missing: run is not a run directory")


def test_another_versions_checkpoint_of_unknown_settings_names_both_versions(shell, run):
    import hashlib

    path = newest(run) / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    manifest |= {"version": "0.0.9", "config": manifest["config"] | {"momentum": 1}}
    digest = hashlib.sha256((json.dumps(manifest, indent=2) + "\n").encode()).hexdigest()
    path.write_text(json.dumps(manifest | {"sha256": digest}))
    ran = shell("train --resume run --allow-import")
    ran.fault(4, "settings that cannot be read: unknown setting 'momentum'", "made by proximax '0.0.9', this is ")


def test_resume_auto_needs_a_directory_and_resume_a_run(shell):
    shell("train CartPole-v1 --resume auto").fault(2, "--resume auto: name the run directory with --out")
