"""What a comparison trains, what of it has been trained before, and how that is reported."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from proximax.config import RunConfig, refuse, shown
from proximax.envs import EnvLike, env_from_config, env_options, make_env
from proximax.errors import NumericalError, StorageError, UsageError
from proximax.evaluation import evaluate
from proximax.ppo import Algorithm
from proximax.reports.run_groups import Group, Member, describe, differing, env_label
from proximax.runs import METRICS_FILE, Resume, is_run_name, load_config, read_metrics, run_name_of
from proximax.runtime import finite_or_none, read_json, refuse_special, sha256, shorten, write_json
from proximax.training import resolve, run

DEFAULT_ALGOS = ("reinforce", "surrogate", "penalty", "clip", "trpo")
Algos = Sequence[str] | Mapping[str, Mapping[str, Any]]
State = Literal["train", "continue", "finished"]


class Variant(NamedTuple):
    """One run to train."""

    env: EnvLike
    label: str
    folder: Path  # in the comparison's directory
    config: RunConfig
    custom: Algorithm | None


def variants_of(
    envs: Sequence[EnvLike], algos: Algos, seeds: int, preset: str | None, overrides: dict[str, Any]
) -> list[Variant]:
    """The runs of each algorithm on each environment, with every setting checked. Raises ``UsageError``."""
    listed = isinstance(algos, (Mapping, Sequence)) and not isinstance(algos, str)
    refuse([] if listed else [f"algos = {shown(algos)}: must be a list of names, or a dict of settings under labels"])
    settings_by_label = algos if isinstance(algos, Mapping) else {name: {"algo": name} for name in algos}
    if not settings_by_label:
        raise UsageError("compare needs at least one algorithm")
    variants: list[Variant] = []
    folders: list[str] = []
    for env in envs:
        folder = ""
        for label, settings in settings_by_label.items():
            config, custom = resolve(env, preset, {"seeds": seeds} | overrides | dict(settings))
            config.check()
            if len(envs) > 1:
                folder = folder or _folder_for(config, folders)
            variants.append(Variant(env, label, Path(folder, str(label)), config, custom))
        folders.append(folder)
    names = [env_label(variant.config) for variant in variants[:: len(settings_by_label)]]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"the environment {repeated[0]} is named twice")
    return variants


def _folder_for(config: RunConfig, taken: list[str]) -> str:
    """The name of an environment's folder, which no other environment has."""
    name = run_name_of(env_label(config))
    return next(x for x in [name, *(f"{name}-{i}" for i in range(2, len(taken) + 3))] if x not in taken)


def check_folders(directory: Path, variants: Sequence[Variant], reserved: Sequence[str]) -> None:
    """Refuse a label that is not a folder's name in ``directory``, or where that leads elsewhere."""
    for variant in variants:
        label = variant.label
        if not isinstance(label, str) or not is_run_name(label) or label in reserved:
            raise UsageError(
                f"the label {label!r} names a run's directory: A-Z, a-z, 0-9, '.', '_' and '-', at most 100, the first "
                "a letter or a digit, and not a file of the comparison"
            )
        for folder in (directory / variant.folder, (directory / variant.folder).parent):
            if folder != directory:
                refuse_special(folder)


def check_environments(variants: Sequence[Variant]) -> None:
    """Create each of several environments once: one that fails is reported before the others are trained."""
    by_env = {env_label(variant.config): variant for variant in variants if isinstance(variant.env, str)}
    for variant in by_env.values() if len(by_env) > 1 else ():
        env = make_env(env_from_config(variant.config, variant.env), 1, **env_options(variant.config))
        getattr(env, "close", int)()


def directory_name(variants: Sequence[Variant], runs: Sequence[Member]) -> str:
    """A name for the directory of a comparison: the same for the same runs and settings, so that it is continued."""
    settings = [[variant.label, variant.config.to_json()] for variant in variants]
    content = json.dumps([settings, [[run.label, str(run.path.resolve())] for run in runs]], sort_keys=True)
    envs = list(dict.fromkeys(env_label(variant.config) for variant in variants))
    first = [run_name_of(envs[0])] if envs else []
    more = [f"and-{len(envs) - 1}"] if len(envs) > 1 else []
    return "-".join([*first, *more, "compare", sha256(content.encode())[:8]])


def state_of(directory: Path, config: RunConfig) -> State:
    """Whether ``directory`` holds a finished run of ``config``, one to continue, or none. ``StorageError``: another."""
    if not (directory / "config.json").exists():
        return "train"
    try:
        same = load_config(directory).to_json() == config.to_json()
    except UsageError:  # unknown settings
        same = False
    if not same:
        raise StorageError(f"{directory} holds a run with other settings: move it away, or choose another --out")
    return "finished" if (directory / "result.json").exists() else "continue"


def train_variant(directory: Path, variant: Variant, quiet: bool) -> None:
    """Train, or continue; a run that diverges is evaluated with its last good policies and stays in the comparison."""
    resume: Resume = "auto" if directory.exists() else False
    config, env = variant.config, variant.env
    try:
        run(config, env, custom_algorithm=variant.custom, out=directory, quiet=quiet, resume=resume)
    except NumericalError as error:
        evaluation = evaluate(directory, config.eval_episodes, env=env)
        returns = [finite_or_none(x) for x in evaluation.returns.mean(axis=1)]
        rows = read_metrics(directory / METRICS_FILE)
        write_json(
            directory / "result.json",
            {
                "returns": returns,
                "steps": rows[-1]["steps"],
                "wall_s": rows[-1]["time_s"],
                "stopped_by": "diverged",
                "notes": [str(error)],
            },
        )


def announcement(groups: Sequence[Group], states: Mapping[Path, State], directory: Path) -> str:
    """What is trained, what is continued, what is taken as it is, how settings differ, and where the results go."""
    given = sum(len(group.members) for group in groups) - len(states)
    verbs: dict[State, str] = {"train": "to train", "continue": "to continue", "finished": "finished before"}
    counts = [f"{n} {text}" for state, text in verbs.items() if (n := [*states.values()].count(state))]
    counts += [f"{given} given"] if given else []
    lines = [f"compare: {', '.join(counts)}; results in {shorten(directory)}"]
    for env in dict.fromkeys(group.env for group in groups):
        of_env = [group for group in groups if group.env == env]
        names = [name for name in differing([group.config for group in of_env]) if name != "algo"]
        lines.append(env)
        for group in of_env:
            for member, seeds in group.members:
                state = states.get(member.path, "given")
                place = "" if member.path in states else f"  from {shorten(member.path)}"
                settings = f"  {details}" if (details := describe(group.config, names)) else ""
                lines.append(
                    f"  {state:8}  {group.label}: {seeds_text(seeds)}, {group.config.steps:,} steps each"
                    f"{place}{settings}"
                )
    return "\n".join(lines)


def seeds_text(seeds: Sequence[int]) -> str:
    """``seed 3``, ``seeds 0 to 4``, ``seeds 0, 2``."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    in_order = list(seeds) == list(range(seeds[0], seeds[0] + len(seeds)))
    return f"seeds {seeds[0]} to {seeds[-1]}" if in_order else f"seeds {', '.join(map(str, seeds))}"


def has_result(member: Member) -> bool:
    """Whether a run has ended."""
    return bool((member.path / "result.json").exists() and read_json(member.path / "result.json", ""))
