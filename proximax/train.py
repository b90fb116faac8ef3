"""The impure shell around the learner: environments, disk, screen, time, when to stop."""

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from proximax import xla
from proximax.advance import Advance, Pace, start_learner
from proximax.agent import Agent, split_agents
from proximax.config import OWN, AlgorithmName, NetworkName, PPOConfig, RunConfig
from proximax.envs import EnvLike, Game, HostEnv, JaxEnv, ale_id, atari_id, env_name, env_of, env_seeds
from proximax.envs.host import EnvPoolEnv
from proximax.envs.make import make_env, remakable
from proximax.envs.tryout import ignores_seed
from proximax.errors import EnvironmentFault, NumericalError, UsageError
from proximax.evaluate import EVALUATION_SEED, Evaluation, Evaluator, make_evaluator
from proximax.networks import Network
from proximax.policy import Policy, make_policy
from proximax.preprocessing import AtariConfig
from proximax.presets import find_preset, preset_settings
from proximax.ranges import check_names
from proximax.recorder import Recorder, RunDirectory
from proximax.result import Result
from proximax.sinks import Callback
from proximax.tracing import CompileClock, Tracer
from proximax.types import TrainState
from proximax.update import Algorithm
from proximax.video import Reel

STOP_CHECKS = 40  # evaluations over a run with ``stop_at``


def train(
    env: EnvLike,
    *,
    algo: AlgorithmName | Algorithm = "clip",
    steps: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    preset: str | None = None,
    out: str | Path | None = None,
    network: Network | NetworkName | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    profile: bool = False,
    **overrides: Any,
) -> Result:
    """Train a policy on ``env`` and evaluate it.

    ``env``: an id (``"CartPole-v1"``, ``"package:Env-v0"``, ``"envpool:..."``, ``"gymnax:..."``), a Gymnasium
    ``VectorEnv`` (of ``seeds`` x ``num_envs`` environments), a callable that makes one environment, or a ``JaxEnv``.
    ``algo``: a name of ``proximax.ALGORITHMS``, or an ``Algorithm`` of your own.
    ``preset``: a name of ``proximax presets``; by default the one tuned for the id, "none" for the plain defaults.
    ``out``: directory for config.json, metrics.jsonl, result.json and the policies; None writes nothing.
    ``callbacks``: each is called with the rows of every update (``proximax.metrics``); a true result stops training.
    ``profile``: write a trace of some updates to ``out / "profile"``, for https://ui.perfetto.dev.
    ``network``: one of your own, or the name of a built-in one (``RunConfig.network``).
    ``overrides``: fields of ``PPOConfig`` and ``RunConfig`` (``learning_rate=1e-3``, ``num_envs=16``, ``stop_at=475``),
    for Atari games also of ``AtariConfig``.

    Raises ``UsageError`` and the other faults of ``proximax.errors``, before anything is left on disk where possible.
    """
    asked = {"algo": algo, "seeds": seeds, "seed": seed} | ({} if steps is None else {"steps": steps}) | overrides
    if isinstance(network, str):
        asked["network"] = network
    config, own = resolve(env, preset, asked)
    made = network if isinstance(network, Network) else None
    return run(config, env, own=own, out=out, network=made, callbacks=callbacks, quiet=quiet, profile=profile)


def resolve(env: EnvLike, preset: str | None, overrides: dict[str, Any]) -> tuple[RunConfig, Algorithm | None]:
    """The complete configuration: defaults, then what preset and algorithm set, then the overrides.

    And the algorithm, where ``overrides["algo"]`` is one of the user's own.
    """
    check_names(overrides, RunConfig, PPOConfig, AtariConfig)
    name, algo = env_name(env), overrides.get("algo", "clip")
    if not isinstance(algo, (str, Algorithm)):
        raise UsageError(f"algo = {algo!r}: must be a name or an Algorithm")
    own = algo if isinstance(algo, Algorithm) else None
    if own is not None:
        overrides = overrides | {"algo": OWN + own.name}
    settings, ppo = preset_settings(find_preset(ale_id(name), preset), overrides.get("algo", "clip"))
    ppo_names, atari_names = ({f.name for f in fields(record)} for record in (PPOConfig, AtariConfig))
    ppo = replace(ppo, **{k: v for k, v in overrides.items() if k in ppo_names})
    shown = {k: v for k, v in overrides.items() if k in atari_names}
    run_fields = settings | {k: v for k, v in overrides.items() if k not in ppo_names | atari_names}
    run_fields |= {"atari": atari_settings(env, name, run_fields.get("atari"), shown)}
    if isinstance(num_envs := getattr(env, "num_envs", None), int):
        total, seeds = num_envs, max(run_fields.get("seeds", 1), 1)  # fewer than one is for ``check`` to refuse
        if total % seeds:
            raise UsageError(
                f"the vector environment has {total} environments, which {seeds} seeds cannot share equally"
            )
        run_fields["num_envs"] = total // seeds
    return RunConfig(**{"env": name, **run_fields, "ppo": ppo}), own


def atari_settings(env: EnvLike, name: str, known: AtariConfig | None, overrides: dict[str, Any]) -> AtariConfig | None:
    """How the game is shown, of what ``env``, the preset and the overrides say; None where it is not an Atari game."""
    if isinstance(env, Game):
        known = env.config
    elif not (isinstance(env, str) and atari_id(name)):
        if overrides:
            raise UsageError(f"{', '.join(overrides)}: only for Atari games by their id; {name} is not one")
        return None
    return replace(known or AtariConfig(), **overrides)


def run(
    config: RunConfig,
    env: EnvLike | None = None,
    *,
    own: Algorithm | None = None,
    out: str | Path | None = None,
    network: Network | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    profile: bool = False,
) -> Result:
    """Train exactly ``config``, as read from a config.json.

    ``env`` stands in for a ``config.env`` that was an object, ``own`` for a ``config.algo`` that is not built in.
    The rest is as in ``train``.
    """
    config.check()
    xla.prepare(config.seeds)
    env = env_of(config, env)
    check_needs(config, env, out, profile)
    began = time.perf_counter()
    directory = RunDirectory(Path(out)) if out is not None else None
    with ExitStack() as stack:
        clock = stack.enter_context(CompileClock())
        try:
            made = make_env(env, config.num_envs, groups=config.seeds, turns=config.turns, autoreset=config.autoreset)
            if remakable(env) and not isinstance(made, JaxEnv):  # an environment object stays its owner's
                stack.callback(made.close)
            policy, advance, state, notes = prepare(made, config, network, own)
            reel = stack.enter_context(closing(Reel(config, env, policy, directory.path if directory else None)))
        except BaseException:
            if directory:
                directory.discard()
            raise
        recorder = stack.enter_context(Recorder(config, directory, made, quiet, "own" if network else "built-in"))
        recorder.state = state
        stopper = stack.enter_context(closing(Stopper(config, env, policy)))
        tracer = stack.enter_context(closing(Tracer(directory.path / "profile" if directory and profile else None)))
        stopped_by = loop(config, advance, recorder, stopper, tracer, reel, callbacks, began)
        trained_s = time.perf_counter() - began
        reel.at_end(recorder.state, recorder.history.update)
        evaluation = stopper.evaluation or final_evaluation(config, env, made, policy, recorder.state)
        result = Result(
            config=config,
            agents=agents_of(recorder.state, policy, made),
            evaluation=evaluation,
            history=recorder.rows,
            steps=int(recorder.history.steps.max()),
            wall_s=time.perf_counter() - began,
            compile_s=clock.seconds,
            steps_per_s=float(recorder.history.steps.sum()) / trained_s,
            stopped_by=stopped_by,
            notes=notes,
            directory=directory.path if directory else None,
        )
        recorder.finish(result.to_json())
    return result


def check_needs(config: RunConfig, env: EnvLike, out: str | Path | None, profile: bool) -> None:
    """Refuse what needs a run directory where there is none, or a second environment where none can be made."""
    for name, asked in (("profile", profile), ("video_every", config.video_every is not None)):
        if asked and out is None:
            raise UsageError(f"{name}: its files go into the run directory; name one with out")
    if config.stop_at is not None and not remakable(env):
        raise UsageError("stop_at evaluates on a second environment: pass an id, a callable or a JaxEnv, no object")


def prepare(
    env: JaxEnv | HostEnv, config: RunConfig, network: Network | None, own: Algorithm | None
) -> tuple[Policy, Advance, TrainState, list[str]]:
    """Everything that can refuse before anything is left behind: (policy, learner, its first state, notes)."""
    if not isinstance(env, JaxEnv) and env.num_envs != config.num_envs * config.seeds:
        raise UsageError(
            f"the environment has {env.num_envs} copies; num_envs x seeds = {config.num_envs} x {config.seeds}"
        )
    policy = make_policy(env.observation_space, env.action_space, config.ppo, network or config.network)
    notes = environment_notes(env, config)
    for note in notes:
        print(f"proximax: note: {note}", file=sys.stderr)
    return policy, *start_learner(env, policy, config, own), notes


def loop(
    config: RunConfig,
    advance: Advance,
    recorder: Recorder,
    stopper: "Stopper",
    tracer: Tracer,
    reel: Reel,
    callbacks: Sequence[Callback],
    began: float,
) -> str:
    """All updates, or as many as it takes. Returns what stopped it."""
    pace, done_s = Pace(), time.perf_counter() - began
    while (update := recorder.history.update) < config.updates:
        # A callback may stop training after any update; an evaluation is of a certain one.
        updates = 1 if callbacks else pace.next(stopper.next_evaluation(update) - update)
        recorder.state, metrics = advance(recorder.state, updates)
        tracer.after_call()
        before_s, done_s = done_s, time.perf_counter() - began
        made = metrics["finite"].shape[0]
        for i in range(made):
            time_s = before_s + (i + 1) / made * (done_s - before_s)
            rows = recorder.write({name: x[i] for name, x in metrics.items()}, time_s)
            check_rows(rows, config.num_envs)
        reel.after_update(recorder.state, recorder.history.update)
        if stopper.reached(recorder.state, recorder.history.update):
            return "stop_at"
        if sum(bool(callback(rows)) for callback in callbacks):  # every one is called
            return "callback"
    return "steps"


class Stopper:
    """Early stopping on ``stop_at``, by evaluation: a deterministic policy is often far ahead of the training returns.

    Forty times in a run a few episodes are played; if they reach the goal, a full evaluation on fresh starts decides.
    """

    def __init__(self, config: RunConfig, env: EnvLike, policy: Policy) -> None:
        self.evaluation: Evaluation | None = None  # the full one that reached the goal
        self._config = config
        self._every = max(1, config.updates // STOP_CHECKS)
        self._make = partial(
            make_evaluator, env, policy, config.eval_episodes, sample=config.eval_sample, autoreset=config.autoreset
        )
        self._evaluator: Evaluator | None = None

    def next_evaluation(self, update: int) -> int:
        """The first update after ``update`` at which to evaluate; without a goal the last of the run."""
        last = self._config.updates
        return last if self._config.stop_at is None else min(update - update % self._every + self._every, last)

    def reached(self, state: TrainState, update: int) -> bool:
        """Whether the mean evaluation return of every seed has reached ``stop_at``."""
        goal = self._config.stop_at
        if goal is None or (update % self._every and update < self._config.updates):
            return False
        self._evaluator = self._evaluator or self._make()
        if evaluate_seeds(self._evaluator, state, self._config, update, self._evaluator.copies).worst >= goal:
            evaluation = evaluate_seeds(self._evaluator, state, self._config, self._config.updates + update)
            self.evaluation = evaluation if evaluation.worst >= goal else None
        return self.evaluation is not None

    def close(self) -> None:
        """Close the evaluation's environments."""
        if self._evaluator is not None:
            self._evaluator.close()


def final_evaluation(
    config: RunConfig, env: EnvLike, made: JaxEnv | HostEnv, policy: Policy, state: TrainState
) -> Evaluation:
    """Every seed's policy on fresh environments, or on the training ones where they cannot be made again."""
    if not remakable(env):
        return evaluate_seeds(Evaluator(made, policy, config.eval_episodes, config.eval_sample), state, config)
    evaluator = make_evaluator(env, policy, config.eval_episodes, sample=config.eval_sample, autoreset=config.autoreset)
    try:
        return evaluate_seeds(evaluator, state, config)
    finally:
        evaluator.close()


def agents_of(state: TrainState, policy: Policy, env: JaxEnv | HostEnv) -> list[Agent]:
    """The policies of all seeds."""
    return split_agents(policy, state.params, state.obs_moments, env.observation_space, env.action_space)


def evaluate_seeds(
    evaluator: Evaluator, state: TrainState, config: RunConfig, salt: int = 0, episodes: int | None = None
) -> Evaluation:
    """Every seed's policy; another ``salt``, other starts."""
    arrays = jax.tree.map(np.asarray, (state.params, state.obs_moments))
    policies = [jax.tree.map(lambda x, i=i: x[i], arrays) for i in range(config.seeds)]
    seeds = tuple(range(config.seed, config.seed + config.seeds))
    return evaluator.every(policies, seeds, EVALUATION_SEED + config.seed + salt, episodes)


def environment_notes(env: JaxEnv | HostEnv, config: RunConfig) -> list[str]:
    """What the user should know about these environments."""
    if isinstance(env, (JaxEnv, EnvPoolEnv)):
        return []
    if ignores_seed(env, env_seeds(config.seed, env.num_envs)):
        return [*env.notes, "the environment ignores its seed: this run cannot be repeated exactly"]
    return env.notes


def check_rows(rows: list[dict[str, Any]], num_envs: int) -> None:
    """Raise for an update that was not finite (no step was taken from there on), or that met a mask of nothing."""
    for row in rows:
        place = f"update {row['update']} of seed {row['seed']}, at {row['steps']} steps"
        if (stuck := int(row.get("stuck_row", -1))) >= 0:
            step, env = divmod(stuck, num_envs)
            raise EnvironmentFault(
                f"the action mask of environment {env} allowed nothing at step {step} of the rollout of {place}. "
                "Allow one action at least, or end the episode there"
            )
        if row["finite"] != 1:
            raise NumericalError(
                f"loss, gradient or normaliser not finite: {place}. "
                "Lower the learning rate, or look for huge rewards or observations"
            )
