"""What is wrong with a run, its cause and the remedy: ``proximax doctor RUN``, and a line while training."""

import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from proximax.config import RunConfig
from proximax.doctor import checks
from proximax.errors import CheckpointError
from proximax.runs import METRICS_FILE, load_config, read_metrics
from proximax.runtime import open_plain

Severity = Literal["error", "warning", "note"]
SEVERITIES: dict[Severity, str] = {
    "error": "results are invalid until this is fixed",
    "warning": "the run learns less than it could",
    "note": "check this; it may be intended",
}

MAX_LOG_BYTES = 2**16  # that are read of error.log, from its end


class Check(NamedTuple):
    """One thing that can be wrong with a run."""

    severity: Severity
    check: Callable[[checks.Rows, RunConfig], str | None]
    cause: str
    remedy: str


# Most severe first. docs/guides/doctor.md is made from this table.
CHECKS: dict[str, Check] = {
    "not-finite": Check(
        "error",
        checks.not_finite,
        "A loss, gradient or normaliser overflowed: steps too large, or huge rewards or observations.",
        "Lower --ppo.learning-rate; keep --ppo.normalise-obs, --ppo.scale-reward and --ppo.max-grad-norm on.",
    ),
    "first-ratio": Check(
        "error",
        checks.ratio_not_one,
        "π(a|s) of learning differs from that of acting before any step was taken: a network whose output depends on "
        "the rest of the batch (batch normalisation), on random numbers (dropout), or on state it keeps.",
        "Make the network a pure function of one observation: layer instead of batch normalisation, no dropout. "
        "Otherwise report it.",
    ),
    "kl-spikes": Check(
        "error",
        checks.kl_spikes,
        "Single updates throw the policy far from the one that collected the data: steps too large, or too many.",
        "Lower --ppo.learning-rate or --ppo.epochs, or limit the KL with --ppo.target-kl 0.02.",
    ),
    "no-signal": Check(
        "error",
        checks.no_signal,
        "Nothing the policy did ever changed what it got: the reward is constant, or its goal was never reached.",
        "Check the environment's reward. A goal that random actions do not reach needs intermediate rewards, an easier "
        "start, or more exploration (--ppo.entropy-coef, --ppo.log-std-init).",
    ),
    "collapse": Check(
        "error",
        checks.collapse,
        "The policy became deterministic before its returns rose, and no longer explores.",
        "Lower --ppo.learning-rate, raise --ppo.entropy-coef (0.01), or --ppo.log-std-init for Box actions.",
    ),
    "rewards-huge": Check(
        "error",
        checks.rewards_huge,
        "The returns are huge and the critic, which moves by --ppo.learning-rate, cannot reach them in time.",
        "Set --ppo.scale-reward True, or divide the rewards in the environment.",
    ),
    "never-ends": Check(
        "warning",
        checks.never_ends,
        "The environments never report terminated or truncated, so there is no return and no reset.",
        "Give it a time limit (Gymnasium: register(max_episode_steps=...) or wrappers.TimeLimit). If it is endless "
        "by nature, ignore this.",
    ),
    "clipped": Check(
        "warning",
        checks.too_much_clipped,
        "Most transitions leave the clip band and have no gradient from then on: ε is too small for the steps.",
        "Raise --ppo.epsilon (0.1 to 0.3), or lower --ppo.learning-rate or --ppo.epochs.",
    ),
    "hardly-moves": Check(
        "warning",
        checks.hardly_moves,
        "The policy hardly changes from the start: steps are too small, advantages carry no information, or huge "
        "value errors take up the whole clipped gradient.",
        "Fix the other findings first; then raise --ppo.learning-rate (3e-4) or --ppo.epochs.",
    ),
    "values": Check(
        "warning",
        checks.values_explain_nothing,
        "The critic is worse than a constant: its targets move too fast or are too large, it is too small, or it "
        "cannot see what the return depends on.",
        "Set --ppo.scale-reward True; raise --ppo.value-coef or widen --ppo.hidden; lower --ppo.gamma or --ppo.lam "
        "where rewards are noise; check what the observation leaves out.",
    ),
    "observations": Check(
        "warning",
        checks.obs_not_normalised,
        "The network sees numbers of a scale far from 1: its units saturate, or see nothing.",
        "Set --ppo.normalise-obs True, or scale them in the environment.",
    ),
    "gradients": Check(
        "warning",
        checks.gradients_clipped,
        "Every gradient is cut to a tiny part, so the largest errors alone set its direction: rewards are huge, or "
        "the limit tiny.",
        "Set --ppo.scale-reward True, or --ppo.max-grad-norm 0.5.",
    ),
    "learning-rate": Check(
        "warning",
        checks.rate_at_floor,
        "The learning rate is so low that nothing is learned: it was set so, or --ppo.kl-control learning_rate "
        "lowered it to its floor because the KL stayed above --ppo.target-kl.",
        "Raise --ppo.learning-rate; where it adapts, raise --ppo.target-kl or lower --ppo.epochs.",
    ),
    "saturation": Check(
        "warning",
        checks.actions_saturated,
        "Nearly all actions are cut to the bounds of the action space: means or σ have run far outside, where "
        "another action is the same action.",
        "Lower --ppo.log-std-init, --ppo.learning-rate or --ppo.entropy-coef; or --ppo.box-distribution beta, whose "
        "actions lie within them. Fine where extreme actions are optimal.",
    ),
    "std-blow-up": Check(
        "warning",
        checks.std_blow_up,
        "σ of the actions grows without limit: the entropy bonus outweighs the objective, or actions change nothing.",
        "Lower --ppo.entropy-coef (0 for Box actions), or --ppo.box-distribution beta.",
    ),
    "memory-explodes": Check(
        "warning",
        checks.memory_explodes,
        "The cell adds to its memory in every step without forgetting: outputs saturate, and gradients through time "
        "overflow or vanish.",
        "Take a cell whose memory is bounded (gru, mingru), or give your own a gate that forgets. Otherwise lower "
        "--ppo.learning-rate, and see that --ppo.max-grad-norm is on.",
    ),
    "early-stop": Check(
        "warning",
        checks.stopped_at_once,
        "The KL passes 1.5 --ppo.target-kl after the first few steps, and the rest of each update is skipped.",
        "Lower --ppo.learning-rate, or raise --ppo.target-kl (0.01 to 0.05) or --ppo.minibatch-size.",
    ),
    "line-search": Check(
        "warning",
        checks.line_search_fails,
        "No step of the line search raises the objective within δ.",
        "Raise --ppo.damping or --ppo.conjugate-gradient-steps, lower --ppo.max-kl, or collect more (--ppo.num-steps).",
    ),
    "memory-unused": Check(
        "note",
        checks.memory_unused,
        "The policy does the same with the memory of any other step: the observation says everything, episodes are one "
        "step long, the cell forgets what it saw, or sequences are too short to learn what to remember.",
        "Where the observation says everything, take a network without memory: it is faster. Otherwise raise "
        "--ppo.sequence-length (with --ppo.minibatch-size), or check that a cell of your own returns its carry.",
    ),
    "time-limit": Check(
        "note",
        checks.time_limit_as_end,
        "Where this length is a time limit, the environment reports it as terminated: nothing is bootstrapped "
        "there, and values are wrong near the limit.",
        "Return truncated=True, terminated=False at the limit. If that is really a terminal state, ignore this.",
    ),
}


class Finding(NamedTuple):
    """A check that some seeds of a run did not pass."""

    name: str
    check: Check
    evidence: dict[int, str]  # of each seed concerned

    @property
    def line(self) -> str:
        """The finding in one line, without the cause."""
        seed, evidence = next(iter(self.evidence.items()))
        others = f" and {len(self.evidence) - 1} more" if len(self.evidence) > 1 else ""
        return f"{self.check.severity} {self.name}: {evidence} (seed {seed}{others}). {self.check.remedy}"


def run_checks(seeds: dict[int, checks.Rows], config: RunConfig) -> list[Finding]:
    """Run every check on the rows of each seed: the findings, most severe first."""
    findings: list[Finding] = []
    with np.errstate(all="ignore"):  # a column may hold anything
        for name, check in CHECKS.items():
            evidence = {seed: text for seed, rows in seeds.items() if (text := check.check(rows, config))}
            if evidence:
                findings.append(Finding(name, check, evidence))
    return findings


def columns(rows: Iterable[dict[str, Any]]) -> dict[int, checks.Rows]:
    """Rows of metrics as arrays, a number or NaN each, by seed."""
    by_seed: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(row)
    return {seed: _arrays(seed_rows) for seed, seed_rows in by_seed.items()}


def _arrays(rows: list[dict[str, Any]]) -> checks.Rows:
    names = {name: None for row in rows for name, x in row.items() if not isinstance(x, list)}
    return {name: np.array([math.nan if (x := row.get(name)) is None else x for row in rows], float) for name in names}


class Diagnosis(NamedTuple):
    """What was found in a run directory."""

    config: RunConfig
    updates: int
    findings: list[Finding]
    error: str | None  # the last line of error.log
    finished: bool


def diagnose_run(run_dir: str | Path) -> Diagnosis:
    """Read a run, finished or not, and check it. Raises ``CheckpointError`` for a directory that is not a run's."""
    directory = Path(run_dir)
    config = load_config(directory)
    seeds = columns(read_metrics(directory / METRICS_FILE))
    updates = max((int(rows["update"][-1]) for rows in seeds.values()), default=0)
    error = last_line(directory / "error.log")
    return Diagnosis(config, updates, run_checks(seeds, config), error, (directory / "result.json").exists())


def last_line(path: Path) -> str | None:
    """The last line of a log that is not blank; None without one. Links and pipes are refused: ``CheckpointError``."""
    try:
        with open_plain(path) as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_LOG_BYTES))
            lines = file.read(MAX_LOG_BYTES).decode(errors="replace").split("\n")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return next((line.strip() for line in reversed(lines) if line.strip()), None)
