"""The impure shell around the learner: environments, disk, screen, signals, time, when to stop."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from proximax.config import (
    AlgorithmName,
    NetworkName,
    RunConfig,
    refuse,
    type_problem,
)
from proximax.envs import (
    EnvLike,
    HostEnv,
    JaxEnv,
    can_recreate,
    env_from_config,
    env_options,
    make_env_shards,
)
from proximax.errors import UsageError
from proximax.loggers import Callback, Log, Reporting, RunLogger
from proximax.networks import AnyNetwork, network_problem
from proximax.policy import Agent, make_policy
from proximax.ppo import Algorithm, make_multi_seed_learner
from proximax.profiling import TRACE_OPTIONS, CompileClock, Tracer
from proximax.runs import CheckpointManager, Resume, RunDirectory, RunProgress
from proximax.runtime import (
    SHARD_OPTIONS,
    compilation,
    local_shards,
    own_settings,
    path_named,
    refuse_fork,
    show_messages,
)
from proximax.spaces import describe_space
from proximax.training.arguments import check_arguments, check_requirements
from proximax.training.callbacks import Callbacks, TrainingCallback, scheduled_settings
from proximax.training.crash_report import translate_out_of_memory
from proximax.training.interrupts import Interrupts
from proximax.training.notes import environment_notes, library_notes, rounding_notes, sequence_notes
from proximax.training.periodic_evaluation import PeriodicEvaluator, final_evaluation
from proximax.training.periodic_video import PeriodicVideo
from proximax.training.ranks import Places, check_ranks, config_of_rank, join_ranks, others_needed_by
from proximax.training.resolve_config import resolve, with_reward_hook, without_anneal
from proximax.training.result import Result
from proximax.training.resume import check_same, load_resume_point, restore
from proximax.training.trainer import RunServices, Trainer, TrainingSetup
from proximax.training.warm_start import AGENT, init_from_problem, initial_agents, start_from, start_note
from proximax.types import RewardHook
from proximax.web import watch_run

logger = logging.getLogger(__name__)


def train(
    env: EnvLike,
    *,
    algo: AlgorithmName | Algorithm = "clip",
    steps: int | None = None,
    seeds: int = 1,
    seed: int = 0,
    preset: str | None = None,
    out: str | Path | None = None,
    network: AnyNetwork | NetworkName | None = None,
    callbacks: Sequence[Callback | TrainingCallback] = (),
    log: Log = None,
    quiet: bool = False,
    verbose: bool = False,
    profile: bool = False,
    resume: Resume = False,
    watch: bool = False,
    init_from: str | Path | Agent | None = None,
    reward_hook: RewardHook | None = None,
    **overrides: Any,
) -> Result:
    """Train a policy on ``env`` and evaluate it.

    ``env``: an id (``"CartPole-v1"``, ``"package:Env-v0"``, ``"envpool:..."``, ``"gymnax:..."``), a Gymnasium
    ``VectorEnv`` (of ``seeds`` x ``num_envs`` environments), a callable that makes one environment, or a ``JaxEnv``.
    ``env_kwargs`` (a dict, among the overrides): arguments of the constructor of an environment given by its id.
    ``algo``: a name of ``proximax.ALGORITHMS``, or a custom ``Algorithm``.
    ``preset``: a name of ``proximax presets``; by default the one tuned for the id, "none" for the plain defaults.
    ``out``: directory for config.json, metrics.jsonl, result.json and checkpoints; None writes nothing.
    ``resume``: continue the run in ``out`` from its last checkpoint; "auto": or start it where there is none.
    ``callbacks``: functions, each called with the rows of every update (``runs.metrics``); a true result stops
    training. Or ``TrainingCallback`` objects, which see more.
    ``log``: where metrics go besides metrics.jsonl: "csv", "tensorboard", "wandb", "trackio", functions that make a
    ``Logger``. None: TensorBoard where it is installed; () for nothing more.
    ``quiet``: only warnings and errors on stderr; ``verbose``: also a table of the metrics every few seconds.
    ``profile``: write a trace of some updates to ``out / "profile"``, for https://ui.perfetto.dev.
    ``watch``: show the run in the browser, at the address that is printed, until the program ends (``proximax.watch``).
    ``network``: a custom one, or the name of a built-in one (``RunConfig.network``).
    ``init_from``: a run directory, a file of ``Agent.save`` or an ``Agent`` to start from: its parameters and
    observation normaliser.
    ``reward_hook``: what is learned from instead of the environment's reward; reported returns do not change.
    ``overrides``: fields of ``PPOConfig`` and ``RunConfig`` (``learning_rate=1e-3``, ``num_envs=16``,
    ``stop_at_return=475``), for Atari games also of ``AtariConfig``.

    Raises ``UsageError`` and the other errors of ``proximax.errors``, before anything is left on disk where possible.
    """
    refuse(
        [
            network_problem(network),
            init_from_problem(init_from),
            type_problem("reward_hook", reward_hook, (RewardHook, type(None)), "a RewardHook or None"),
        ]
    )
    settings: dict[str, Any] = {"algo": algo, "seeds": seeds, "seed": seed}
    if init_from is not None:
        settings["init_from"] = AGENT if isinstance(init_from, Agent) else str(init_from)
    if steps is not None:
        settings["steps"] = steps
    if isinstance(network, str):
        settings["network"] = network
    config, custom_algorithm = resolve(env, preset, settings | overrides)
    if "anneal" not in overrides:  # that of the preset or the defaults; what the caller says is not changed
        config = without_anneal(config, scheduled_settings(callbacks))
    if reward_hook is not None:
        config, custom_algorithm = with_reward_hook(config, custom_algorithm, reward_hook)
    return run(
        config,
        env,
        custom_algorithm=custom_algorithm,
        out=out,
        network=None if isinstance(network, str) else network,
        callbacks=callbacks,
        log=log,
        quiet=quiet,
        verbose=verbose,
        profile=profile,
        resume=resume,
        watch=watch,
        agent=init_from if isinstance(init_from, Agent) else None,
    )


@own_settings()
def run(
    config: RunConfig,
    env: EnvLike | None = None,
    *,
    custom_algorithm: Algorithm | None = None,
    out: str | Path | None = None,
    network: AnyNetwork | None = None,
    callbacks: Sequence[Callback | TrainingCallback] = (),
    log: Log = None,
    quiet: bool = False,
    verbose: bool = False,
    profile: bool = False,
    resume: Resume = False,
    watch: bool = False,
    agent: Agent | None = None,
) -> Result:
    """Train exactly ``config``, as read from a config.json.

    ``config``: the whole run, of which nothing is filled in.
    ``env``: in place of a ``config.env`` that was an object.
    ``custom_algorithm``: in place of a ``config.algo`` that is not built in.
    ``agent``: in place of a ``config.init_from`` that was an ``Agent``.

    The rest is as in ``train``. Raises ``Interrupted`` after SIGINT or SIGTERM, after the run was saved.
    """
    flags = {"quiet": quiet, "verbose": verbose, "profile": profile, "watch": watch}
    check_arguments(config, custom_algorithm, out, network, callbacks, log, flags, resume)
    config.check()
    refuse_fork()
    reporting = Reporting("quiet" if quiet else "verbose" if verbose else "progress", log)
    began, env = time.perf_counter(), env_from_config(config, env)
    check_requirements(config, env, out, log, flags, resume)
    ranks, notes = join_ranks(config)
    compilation.prepare(config.seeds, config.shards)
    with ExitStack() as stack:
        stack.enter_context(show_messages(quiet or not ranks.is_first))
        stack.enter_context(translate_out_of_memory())
        path = None if out is None else path_named(out, "out")
        stack.enter_context(others_needed_by(ranks, path))
        check_ranks(ranks, config.shards, notes)
        compile_clock = stack.enter_context(CompileClock())
        directory = stack.enter_context(closing(RunDirectory(path, resume))) if path and ranks.is_first else None
        stack.enter_context(discard_if_refused(directory))
        continued = path if ranks.first_says(bool(directory and directory.continues)) else None
        places = Places(directory, continued, ranks)
        setup = prepare(stack, config, env, places, network, custom_algorithm, profile, agent)
        if not ranks.is_first:
            callbacks, reporting = (), Reporting("quiet", ())
        elif watch and directory:
            watch_run(directory.path)
        services = start_services(stack, config, env, setup, compile_clock, callbacks, reporting, profile)
        with Trainer(config, setup, services, began) as trainer:
            stopped_by = trainer.train()
            last = trainer.finish_training()
            with services.interrupts.interruptible():
                evaluation = final_evaluation(config, env, setup.env, setup.policy, trainer.state)
            result = trainer.finish(evaluation, stopped_by, last)
            services.interrupts.check()  # a signal is never swallowed, though nothing is left to stop
            return result


@contextmanager
def discard_if_refused(directory: RunDirectory | None) -> Iterator[None]:
    """Leave nothing of a new run on disk if it is refused: before training starts, or by ``Trainer.is_refused``."""
    try:
        yield
    except BaseException:
        if directory and not directory.keep:
            directory.discard()
        raise


def prepare(
    stack: ExitStack,
    config: RunConfig,
    env: EnvLike,
    places: Places,
    network: AnyNetwork | None,
    custom_algorithm: Algorithm | None,
    profile: bool,
    agent: Agent | None,
) -> TrainingSetup:
    """What is trained, on what, and from where on. Leaves nothing on disk; ``stack`` closes what is opened."""
    directory, continued, ranks = places
    load = partial(load_resume_point, continued, config) if continued else lambda: None
    resume_point = ranks.first_before_others(load)  # which may move damaged checkpoints aside
    agents = [] if resume_point else initial_agents(config, agent, network)
    progress = resume_point.progress if resume_point else RunProgress.start(config.seed, config.seeds)
    training_env = open_env(stack, config, env, progress.restarts)
    header = checkpoint_header(config, training_env, network)
    if resume_point:
        check_same(resume_point, header, training_env.observation_space, config)
    spaces = training_env.observation_space, training_env.action_space
    policy = make_policy(*spaces, config.ppo, network or config.network)
    notes = environment_notes(training_env, config) + compilation.repeatability_notes()
    trace_options, shard_options = TRACE_OPTIONS if profile else {}, SHARD_OPTIONS if config.shards > 1 else {}
    with compilation.extra_cpu_options({**trace_options, **shard_options}):
        learner = make_multi_seed_learner(training_env, policy, config, custom_algorithm)
    state = learner.init()
    if agents:
        state = start_from(agents, state, config, spaces)
        notes = [*notes, start_note(config)]
    if resume_point:
        state, note = restore(resume_point, training_env, learner, config, state)
        notes = [*notes, note]
    return TrainingSetup(
        env=training_env,
        policy=policy,
        learner=learner,
        state=learner.place(state),
        progress=progress,
        resumed_update=resume_point.manifest["update"] if resume_point else None,
        notes=notes,
        header=header,
        directory=directory,
        ranks=ranks,
    )


def open_env(stack: ExitStack, config: RunConfig, env: EnvLike, restarts: int) -> JaxEnv | HostEnv:
    """The environments to train on, closed by ``stack`` unless they are an object of the caller's."""
    options = {"groups": config.seeds, "env_groups": config.env_groups, "env_restarted": restarts}
    training_env = make_env_shards(
        env, config.num_envs, local_shards(config.shards), config.shards, **options, **env_options(config)
    )
    if isinstance(training_env, JaxEnv):
        return training_env
    if can_recreate(env):
        stack.callback(training_env.close)
    if config.shards == 1 and training_env.num_envs != config.num_envs * config.seeds:
        sizes = f"num_envs x seeds = {config.num_envs} x {config.seeds}"
        raise UsageError(f"the environment has {training_env.num_envs} copies; {sizes}")
    return training_env


def checkpoint_header(config: RunConfig, env: JaxEnv | HostEnv, network: AnyNetwork | None) -> dict[str, Any]:
    """What every checkpoint's manifest says of the run."""
    return {
        "network": "own" if network else "built-in",
        "config": config.to_json(),
        "observation_space": describe_space(env.observation_space),
        "action_space": describe_space(env.action_space),
    }


def start_services(
    stack: ExitStack,
    config: RunConfig,
    env: EnvLike,
    setup: TrainingSetup,
    compile_clock: CompileClock,
    callbacks: Sequence[Callback | TrainingCallback],
    reporting: Reporting,
    profile: bool,
) -> RunServices:
    """What works beside the learner: first what can refuse the run, the logger, which opens its files, last."""
    path, ranks = setup.directory.path if setup.directory else None, setup.ranks
    config = config_of_rank(config, ranks)
    notes = [*library_notes(config), *rounding_notes(config), *sequence_notes(config, setup.policy)]
    for note in [*setup.notes, *notes]:
        logger.info(note)
    checkpoints = CheckpointManager(config, path and path / "checkpoints", setup.header, setup.resumed_update)
    settled = setup.progress.settled_evaluation
    evaluator = stack.enter_context(closing(PeriodicEvaluator(config, env, setup.policy, settled)))
    interrupts = stack.enter_context(Interrupts(ranks.largest if ranks.size > 1 else None))
    profiler = stack.enter_context(closing(Tracer(path / "profile" if path and profile else None)))
    video = stack.enter_context(closing(PeriodicVideo(config, env, setup.policy, path)))
    run_logger = RunLogger(config, setup.directory, reporting.verbosity, setup.progress.logger, reporting.log)
    return RunServices(
        run_logger, checkpoints, evaluator, video, interrupts, profiler, compile_clock, Callbacks(callbacks)
    )
