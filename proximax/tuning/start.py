"""``tune``: a search from what the user says to what it found."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from proximax.config import (
    COUNT,
    AlgorithmName,
    NetworkName,
    Rule,
    RunConfig,
    bool_problem,
    flatten_dict,
    path_problem,
    range_problem,
    refuse,
    type_problem,
)
from proximax.envs import EnvId, EnvLike, can_recreate, env_from_config, env_options, make_env
from proximax.errors import UsageError
from proximax.networks import AnyNetwork, network_problem
from proximax.ppo import Algorithm
from proximax.reports import nearby
from proximax.runs import lock, run_name_of
from proximax.runtime import (
    PROGRESS,
    close_private,
    compilation,
    own_settings,
    path_named,
    plural,
    refuse_fork,
    refuse_special,
    sha256,
    show_messages,
    storing,
)
from proximax.training import resolve
from proximax.tuning.optuna_study import (
    PrunerName,
    SamplerName,
    Study,
    as_suggested,
    check_names_of,
    open_study,
    quiet_optuna,
    require_optuna,
    storing_study,
)
from proximax.tuning.outcome import TuneResult, best_of, config_of_best
from proximax.tuning.search import Search, rungs_of
from proximax.tuning.search_space import Space, describe_space, search_space, with_settings
from proximax.tuning.study_page import PRESET_FILE, write_study
from proximax.tuning.trial_batch import TrialBatch

SEARCH_SEED = 1_000_000  # the first seed of a search: published tables are of seeds 0 to 9
STUDY_FILE, LOCK_FILE = "study.db", ".lock"
HALVINGS = 3
# Settings of a run that a search has no use for.
NOT_FOR_TRIALS = ("stop_at_return", "eval_every", "video_every", "init_from", "shards")


class Plan(NamedTuple):
    """A search, all of it checked."""

    env: EnvLike
    config: RunConfig  # of a trial; ``seeds`` of each, ``seed`` of the first
    custom: Algorithm | None
    network: AnyNetwork | None
    space: Space
    trials: int
    side_by_side: int
    halvings: int
    sampler: SamplerName
    pruner: PrunerName
    directory: Path | None
    storage: str | Path | None
    study: str

    @property
    def made_with(self) -> dict[str, Any]:
        """What must be the same to continue a study: not how many trials, how many at a time, by which sampler."""
        return made_with(self.config, self.space, self.halvings, self.pruner)


def tune(
    env: EnvLike,
    *,
    trials: int = 64,
    side_by_side: int = 8,
    algo: AlgorithmName | Algorithm = "clip",
    steps: int | None = None,
    seeds: int = 1,
    seed: int = SEARCH_SEED,
    space: str | Path | Mapping[str, Any] | None = None,
    sampler: SamplerName = "tpe",
    pruner: PrunerName = "halving",
    halvings: int = HALVINGS,
    preset: str | None = None,
    network: AnyNetwork | NetworkName | None = None,
    out: str | Path | None = None,
    storage: str | Path | None = None,
    study: str | None = None,
    preset_out: str | Path | None = None,
    quiet: bool = False,
    **overrides: Any,
) -> TuneResult:
    """Search settings for ``env``: many trials, ``side_by_side`` of them in one compiled program.

    ``env``, ``algo``, ``preset``, ``network`` and ``overrides``: as in ``train``; an environment object cannot be
    searched on, since every trial needs its own. They are the structure and what all trials have in common.
    ``trials``: how many sets of settings are tried. ``side_by_side``: how many of them at a time. ``quiet``: only
    warnings and errors on stderr.
    ``steps``: of each trial that is trained to the end. ``seeds``: of each trial, whose score is the mean over them.
    ``seed``: the first one; trial n has seeds from ``seed + n * seeds`` on. Published tables are of seeds 0 to 9.
    ``space``: what is searched, a TOML or JSON file or a dict, ``{"learning_rate": {"low": 1e-4, "high": 1e-2,
    "scale": "log"}}``: settings that are data of the program. None: ``tuning.default_space``.
    ``sampler``, ``pruner``: Optuna's. "halving" compares the trials after 1/2, 1/4, ... of the steps, and of those that
    reach such a rung about the better half continues. ``halvings``: how many rungs there are.
    ``out``: directory for the study, its page and figures and ``best.toml``; a search in it that was interrupted, or
    had fewer ``trials``, is continued. None writes nothing. ``storage``: where Optuna keeps the study instead of
    ``out/study.db``: a URL, a ``.log`` journal or an SQLite file. ``study``: its name there. ``preset_out``: a file for
    the best settings instead of ``out/best.toml``.

    Raises ``UsageError`` and the other errors of ``proximax.errors``.
    """
    settings = {"algo": algo, "seeds": seeds, "seed": seed} | overrides
    settings |= {} if steps is None else {"steps": steps}
    settings |= {"network": network} if isinstance(network, str) else {}
    plan = plan_tuning(
        env,
        settings,
        {
            "trials": trials,
            "side_by_side": side_by_side,
            "halvings": halvings,
            "sampler": sampler,
            "pruner": pruner,
            "space": space,
            "preset": preset,
        },
        out=out,
        storage=storage,
        study=study,
        network=None if isinstance(network, str) else network,
    )
    return execute_tuning(plan, preset_out, quiet)


def plan_tuning(
    env: EnvLike,
    settings: dict[str, Any],
    options: dict[str, Any],
    *,
    out: str | Path | None,
    storage: str | Path | None = None,
    study: str | None = None,
    network: AnyNetwork | None = None,
) -> Plan:
    """What ``tune`` does with these arguments, all of them checked.

    ``options``: how it searches; ``settings``: of runs. ``out`` "auto": ``runs/ENV-tune-...``, always the same for the
    same search.
    """
    check_options(options)
    refuse(
        [
            network_problem(network),
            *(path_problem(name, x, optional=True) for name, x in (("out", out), ("storage", storage))),
            type_problem("study", study, (str, type(None)), "a name or None"),
            ""
            if can_recreate(env)
            else "env: an object cannot be made again for each trial; give an id, a callable or a JaxEnv",
        ]
    )
    config, custom = resolve(env, options["preset"], settings)
    halvings, pruner = int(options["halvings"]), options["pruner"]
    check_config(config, halvings)
    space = search_space(options["space"], config)
    identity = sha256(json.dumps(made_with(config, space, halvings, pruner), sort_keys=True).encode())[:8]
    if out == "auto":
        out = Path("runs", f"{run_name_of(EnvId.parse(config.env).display)}-tune-{identity}")
    directory = None if out is None else path_named(out, "out").absolute()
    return Plan(
        env=env,
        config=config,
        custom=custom,
        network=network,
        space=space,
        trials=options["trials"],
        side_by_side=min(options["side_by_side"], options["trials"]),
        halvings=halvings,
        sampler=options["sampler"],
        pruner=pruner,
        directory=directory,
        storage=directory / STUDY_FILE if storage is None and directory else storage,
        study=study or ("proximax" if storage is None else f"proximax-{identity}"),
    )


def check_options(options: dict[str, Any]) -> None:
    """Refuse how nothing can be searched."""
    require_optuna()
    check_names_of(options["sampler"], options["pruner"])
    refuse(
        [
            *(range_problem(name, options[name], COUNT) for name in ("trials", "side_by_side")),
            range_problem("halvings", options["halvings"], Rule(0, 20, integer=True)),
        ]
    )


def check_config(config: RunConfig, halvings: int) -> None:
    """Refuse settings that trials have no use for, and fewer updates than there are rungs."""
    plain = RunConfig(config.env)
    if given := [name for name in NOT_FOR_TRIALS if getattr(config, name) != getattr(plain, name)]:
        raise UsageError(f"{', '.join(given)}: not in a search; train the best settings with it afterwards")
    config.check()
    if len({rung.update for rung in rungs_of(config.updates, halvings)}) <= halvings:
        raise UsageError(
            f"steps = {config.steps:,} are {plural(config.updates, 'update')}, too few for halvings = {halvings}: give "
            "more steps, smaller rollouts, or fewer halvings"
        )


def made_with(config: RunConfig, space: Space, halvings: int, pruner: str) -> dict[str, Any]:
    """What makes a study what it is."""
    return {
        "config": flatten_dict(config.to_json()),
        "space": {name: parameter.to_json() for name, parameter in space.items()},
        "halvings": halvings,
        "pruner": pruner,
    }


@own_settings()
def execute_tuning(plan: Plan, preset_out: str | Path | None = None, quiet: bool = False) -> TuneResult:
    """Search, and write what was found."""
    refuse([bool_problem("quiet", quiet), path_problem("preset_out", preset_out, optional=True)])
    refuse_fork()
    with ExitStack() as stack:
        stack.enter_context(show_messages(quiet))
        stack.enter_context(quiet_optuna())
        stack.enter_context(storing_study(plan.storage))
        check_environment(plan)
        if plan.directory:
            open_directory(stack, plan.directory)
        study = open_study(
            plan.study, plan.storage, plan.space, plan.made_with, (plan.sampler, plan.pruner), plan.config.seed
        )
        PROGRESS.info(announcement(plan, study))
        if not study.records() and (common := as_suggested(vars(plan.config.ppo), plan.space)):
            study.study.enqueue_trial(common)  # trial 0: the settings that the others are to beat
        if study.ended < plan.trials:
            search(stack, plan, study)
        trials = study.records()
        best = best_of(trials)
        preset = preset_out or (plan.directory / PRESET_FILE if plan.directory else None)
        result = TuneResult(
            config=config_of_best(plan.config, best),
            trials=trials,
            space=plan.space,
            directory=plan.directory,
            preset=None if preset is None else path_named(preset, "preset_out"),
        )
        write_study(result, study)
        return result


def search(stack: ExitStack, plan: Plan, study: Study) -> None:
    """Train trials until the study has as many as asked for."""
    low = {name: parameter.ends[0] for name, parameter in plan.space.items()}
    common = with_settings(plan.config, low)  # of which whether a setting is None is what all trials share
    env = env_from_config(plan.config, plan.env)
    compilation.prepare(plan.side_by_side * plan.config.seeds)
    batch = TrialBatch(stack, common, env, plan.side_by_side, plan.network, plan.custom)
    Search(plan.config, study, rungs_of(plan.config.updates, plan.halvings), plan.trials).run(batch)


def check_environment(plan: Plan) -> None:
    """Create one environment: one that fails is reported before anything is on disk."""
    env = make_env(env_from_config(plan.config, plan.env), 1, **env_options(plan.config))
    getattr(env, "close", int)()


def open_directory(stack: ExitStack, directory: Path) -> None:
    """A directory for the study, which no other process uses."""
    with storing(directory):
        directory.mkdir(parents=True, exist_ok=True)
        for name in (STUDY_FILE, LOCK_FILE, PRESET_FILE):
            refuse_special(directory / name)
    stack.callback(close_private, lock(directory / LOCK_FILE))


def announcement(plan: Plan, study: Study) -> str:
    """What is searched, how, and where the results go."""
    config = plan.config
    rungs = [rung.update * config.batch_size for rung in rungs_of(config.updates, plan.halvings)][:-1]
    compared = f"{plan.pruner} at {', '.join(f'{steps:,}' for steps in rungs)} steps" if rungs else "no pruning"
    compared = "no pruning" if plan.pruner == "none" else compared
    lines = [
        f"tune: {EnvId.parse(config.env).display}, {config.algo}: {plural(plan.trials, 'trial')} of {config.steps:,} "
        f"steps, {plan.side_by_side} side by side; {plan.sampler}, {compared}",
        f"seeds: {config.seeds} for each trial, from {config.seed:,} on (published tables are of 0 to 9); "
        f"{config.eval_episodes} evaluation episodes of each",
        f"preset: {config.preset or 'none'}; searched:",
        describe_space(plan.space),
    ]
    if ended := study.ended:
        lines.append(f"the study has {ended} of {plan.trials} trials already: it is continued")
    if plan.directory:
        lines.append(f"results in {nearby(plan.directory)}")
    return "\n".join(lines)
