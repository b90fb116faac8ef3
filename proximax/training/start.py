"""The impure shell around the learner: environments, disk, screen, signals, time, when to stop."""

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from proximax.config import AlgorithmName, NetworkName, RunConfig
from proximax.envs import (
    EnvLike,
    EnvPoolEnv,
    HostEnv,
    JaxEnv,
    can_recreate,
    env_from_config,
    env_options,
    env_seeds,
    ignores_seed,
    make_env,
)
from proximax.errors import UsageError
from proximax.loggers import Callback, RunLogger
from proximax.networks import Network
from proximax.policy import make_policy
from proximax.ppo import Algorithm, make_multi_seed_learner
from proximax.profiling import TRACE_OPTIONS, CompileClock, Tracer
from proximax.runs import CheckpointManager, Resume, RunDirectory
from proximax.runtime import compilation, say
from proximax.spaces import describe_space
from proximax.training.crash_report import translate_out_of_memory
from proximax.training.interrupts import Interrupts
from proximax.training.periodic_evaluation import PeriodicEvaluator, final_evaluation
from proximax.training.periodic_video import PeriodicVideo
from proximax.training.resolve_config import resolve
from proximax.training.result import Result
from proximax.training.resume import check_same, load_resume_point, restore
from proximax.training.trainer import Trainer, TrainingSetup


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
    resume: Resume = False,
    **overrides: Any,
) -> Result:
    """Train a policy on ``env`` and evaluate it.

    ``env``: an id (``"CartPole-v1"``, ``"package:Env-v0"``, ``"envpool:..."``, ``"gymnax:..."``), a Gymnasium
    ``VectorEnv`` (of ``seeds`` x ``num_envs`` environments), a callable that makes one environment, or a ``JaxEnv``.
    ``algo``: a name of ``proximax.ALGORITHMS``, or an ``Algorithm`` of your own.
    ``preset``: a name of ``proximax presets``; by default the one tuned for the id, "none" for the plain defaults.
    ``out``: directory for config.json, metrics.jsonl, result.json and checkpoints; None writes nothing.
    ``resume``: go on with the run in ``out`` from its last checkpoint; "auto": or start it, where there is none.
    ``callbacks``: each is called with the rows of every update (``runs.metrics``); a true result stops training.
    ``profile``: write a trace of some updates to ``out / "profile"``, for https://ui.perfetto.dev.
    ``network``: one of your own, or the name of a built-in one (``RunConfig.network``).
    ``overrides``: fields of ``PPOConfig`` and ``RunConfig`` (``learning_rate=1e-3``, ``num_envs=16``,
    ``stop_at_return=475``), for Atari games also of ``AtariConfig``.

    Raises ``UsageError`` and the other faults of ``proximax.errors``, before anything is left on disk where possible.
    """
    asked = {"algo": algo, "seeds": seeds, "seed": seed} | ({} if steps is None else {"steps": steps}) | overrides
    if isinstance(network, str):
        asked["network"] = network
    config, own = resolve(env, preset, asked)
    made = network if isinstance(network, Network) else None
    return run(
        config,
        env,
        own=own,
        out=out,
        network=made,
        callbacks=callbacks,
        quiet=quiet,
        profile=profile,
        resume=resume,
    )


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
    resume: Resume = False,
) -> Result:
    """Train exactly ``config``, as read from a config.json.

    ``env`` stands in for a ``config.env`` that was an object, ``own`` for a ``config.algo`` that is not built in.
    The rest is as in ``train``. Raises ``Interrupted`` after SIGINT or SIGTERM, the run being saved.
    """
    config.check()
    began, env = time.perf_counter(), env_from_config(config, env)
    check_needs(config, env, out, profile, resume)
    with ExitStack() as stack:
        stack.enter_context(translate_out_of_memory())
        directory = stack.enter_context(closing(RunDirectory(Path(out), resume))) if out is not None else None
        clock = stack.enter_context(CompileClock())
        try:
            prepared = prepare(stack, config, env, directory, network, own, profile)
            session = Trainer(
                config=config,
                prepared=prepared,
                saver=CheckpointManager(
                    config, directory.path / "checkpoints" if directory else None, prepared.header, prepared.update
                ),
                scorer=stack.enter_context(closing(PeriodicEvaluator(config, env, prepared.policy))),
                interrupts=stack.enter_context(Interrupts()),
                tracer=stack.enter_context(
                    closing(Tracer(directory.path / "profile" if directory and profile else None))
                ),
                recorder=RunLogger(config, directory, quiet, prepared.logger_state),  # last: it opens files
                clock=clock,
                callbacks=callbacks,
                began=began,
            )
        except BaseException:
            if directory and not directory.continues:
                directory.discard()
            raise
        with session:
            stopped_by = session.loop()
            last = session.trained()
            made, policy = prepared.env, prepared.policy
            with session.interrupts.at_once():
                evaluation = session.scorer.final or final_evaluation(config, env, made, policy, session.state)
            result = session.end(evaluation, stopped_by, last)
            session.interrupts.check()  # a signal is never swallowed, though nothing is left to stop
            return result


def check_needs(config: RunConfig, env: EnvLike, out: str | Path | None, profile: bool, resume: Resume) -> None:
    """Refuse what needs a run directory where there is none, or a second environment where none can be made."""
    for name, asked in (("profile", profile), ("video_every", config.video_every is not None), ("resume", resume)):
        if asked and out is None:
            raise UsageError(f"{name}: its files are in the run directory; name one with out")
    for name in ("stop_at_return", "eval_every"):
        if getattr(config, name) is not None and not can_recreate(env):
            raise UsageError(f"{name} evaluates on a second environment: pass an id, a callable or a JaxEnv, no object")


def prepare(
    stack: ExitStack,
    config: RunConfig,
    env: EnvLike,
    directory: RunDirectory | None,
    network: Network | None,
    own: Algorithm | None,
    profile: bool,
) -> TrainingSetup:
    """Everything that can refuse before anything is left behind; ``stack`` closes what is opened."""
    compilation.prepare(config.seeds)
    found = load_resume_point(directory.path, config) if directory and directory.continues else None
    made = make_env(
        env,
        config.num_envs,
        groups=config.seeds,
        env_groups=config.env_groups,
        env_restarted=found.progress.restarts if found else 0,
        **env_options(config),
    )
    if can_recreate(env) and not isinstance(made, JaxEnv):  # an environment object stays its owner's
        stack.callback(made.close)
    if not isinstance(made, JaxEnv) and made.num_envs != config.num_envs * config.seeds:
        raise UsageError(
            f"the environment has {made.num_envs} copies; num_envs x seeds = {config.num_envs} x {config.seeds}"
        )
    header = {"network": "own" if network else "built-in", "config": config.to_json()}
    header |= {name: describe_space(getattr(made, name)) for name in ("observation_space", "action_space")}
    if found:
        check_same(found, header, made.observation_space, config)
    policy = make_policy(made.observation_space, made.action_space, config.ppo, network or config.network)
    notes = environment_notes(made, config)
    with compilation.extra_cpu_options(TRACE_OPTIONS if profile else {}):
        learner = make_multi_seed_learner(made, policy, config, own)
    state, progress = learner.init(), None
    if found:
        state, how = restore(found, made, policy, config, state)
        notes, progress = [*notes, how], found.progress
    reel = stack.enter_context(closing(PeriodicVideo(config, env, policy, directory.path if directory else None)))
    for note in notes:
        say(f"proximax: note: {note}")
    return TrainingSetup(
        env=made,
        policy=policy,
        learner=learner,
        state=state,
        notes=notes,
        header=header,
        progress=progress,
        update=found.manifest["update"] if found else None,
        reel=reel,
        directory=directory.path if directory else None,
    )


def environment_notes(env: JaxEnv | HostEnv, config: RunConfig) -> list[str]:
    """What the user should know about these environments."""
    if isinstance(env, (JaxEnv, EnvPoolEnv)):
        return []
    if ignores_seed(env, env_seeds(config.seed, env.num_envs)):
        return [*env.notes, "the environment ignores its seed: this run cannot be repeated exactly"]
    return env.notes
