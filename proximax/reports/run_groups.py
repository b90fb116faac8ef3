"""Which runs belong together: the same environment and settings, other seeds; and what each such group is called."""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from proximax.config import RunConfig, path_problem, refuse, shown
from proximax.envs import EnvId
from proximax.errors import CheckpointError, ProximaxError, UsageError
from proximax.runs import load_config
from proximax.runtime import path_named, reading, shorten

logger = logging.getLogger(__name__)

MAX_DEPTH = 4  # of folders below one that is named, in which runs are looked for
MAX_LABEL = 60  # characters of a label of the user's
MAX_TEXT = 300  # of a label from settings
LINE = 150  # of one that a table or legend has room for
NAMED = 2  # runs of a group, where a label names directories
DIGITS = 3  # significant ones of numbers in labels
MAX_SEEDS = 2**16  # of a run that is compared
TOO_MANY = f"at most {MAX_SEEDS:,} are read"
LABEL_CHARACTERS = frozenset(" _.,:;=+-/#()[]'")  # beside letters and digits: no markup, no formula, no escape sequence
# Settings that change nothing in what is learned, or say which seeds.
BOOKKEEPING = (
    *("seed", "seeds", "preset", "checkpoint_every", "keep_checkpoints", "eval_every", "video_every"),
    *("env_restarts", "env_timeout", "env_groups"),
)
Runs = Sequence[str | Path] | Mapping[str | None, str | Path | Sequence[str | Path]] | Mapping[str, Any]


class Member(NamedTuple):
    """A run, which may not have been trained yet."""

    path: Path
    config: RunConfig
    label: str | None = None  # the user's
    named: bool = True  # by the user, not found below a folder

    @property
    def seeds(self) -> range:
        """Its seeds."""
        return range(self.config.seed, self.config.seed + self.config.seeds)


class Group(NamedTuple):
    """Runs of the same settings on one environment; ``members``: each with the seeds that are taken from it."""

    env: str
    label: str
    members: tuple[tuple[Member, tuple[int, ...]], ...]

    @property
    def config(self) -> RunConfig:
        """The settings of its first run."""
        return self.members[0][0].config

    @property
    def seeds(self) -> list[int]:
        """The seeds of all its runs."""
        return [seed for _, seeds in self.members for seed in seeds]


def find_runs(runs: Runs, left_out: dict[Path, str] | None = None) -> list[Member]:
    """The runs that ``runs`` names: run directories and folders with runs below, a label before them or not.

    ``left_out``: takes what is wrong with run directories that cannot be read, instead of an error. Raises
    ``UsageError``, ``CheckpointError`` for what is not a run and has none below it.
    """
    listed = isinstance(runs, (Mapping, Sequence)) and not isinstance(runs, str)
    if not listed:
        raise UsageError(f"runs = {shown(runs)}: must be a list of runs, or a dict of runs under labels")
    labelled: list[tuple[str | None, Any]] = []
    for label, paths in runs.items() if isinstance(runs, Mapping) else [(None, runs)]:
        if label is not None and (not isinstance(label, str) or not label or harmless(label) != label):
            raise UsageError(
                f"the label {shown(label)}: must be of letters, digits and {''.join(sorted(LABEL_CHARACTERS))!r}, "
                f"{MAX_LABEL} at most"
            )
        several = paths if isinstance(paths, Sequence) and not isinstance(paths, str) else [paths]
        labelled += [(label, path) for path in several]
    refuse([path_problem("runs", path) for _, path in labelled])
    members: dict[Path, Member] = {}
    for label, path in labelled:
        for directory in runs_below(path_named(path, "a run")):
            try:
                config = load_config(directory)
                if config.seeds > MAX_SEEDS:
                    raise CheckpointError(f"{shorten(directory)}: config.json names {config.seeds:,} seeds; {TOO_MANY}")
            except ProximaxError as error:
                if left_out is None:
                    raise
                left_out[directory] = str(error)
                continue
            member = Member(directory, config, label, directory == Path(path))
            members.setdefault(directory.resolve(), member)
    return list(members.values())


def runs_below(folder: Path) -> list[Path]:
    """``folder`` if it is a run directory, else those below it, by name. Links to folders are not followed."""
    directories: list[Path] = []
    with reading(folder):
        for name, subfolders, files in os.walk(folder):
            path = Path(name)
            if "config.json" in files or "checkpoints" in subfolders:
                directories.append(path)
                subfolders.clear()
            if len(path.parts) - len(folder.parts) >= MAX_DEPTH:
                subfolders.clear()
            subfolders[:] = sorted(subfolder for subfolder in subfolders if not subfolder.startswith("."))
    if not directories:
        exists = "is not a run directory, and no run is below it" if folder.exists() else "is not a run directory"
        raise CheckpointError(f"{shorten(folder)} {exists}")
    return directories


def has_runs(path: Path) -> bool:
    """Whether ``path`` is a run directory, or a folder with runs below it."""
    try:
        return path.is_dir() and bool(runs_below(path))
    except CheckpointError:
        return False


def group_runs(members: Iterable[Member]) -> list[Group]:
    """The groups of runs, in their order, under labels that say what differs.

    Runs on one environment whose settings are the same but for the seeds are one group. A label is the algorithm, and
    where several groups of one environment have the same algorithm, also their settings that differ there, or the
    directories where these look the same. A run under the user's own label keeps it, and a label cannot have two
    settings on one environment: ``UsageError``.
    """
    sorted_out: dict[tuple[str, str | None, str], list[Member]] = {}
    for member in members:
        everything = settings_of(member.config) | {"env_kwargs": member.config.env_kwargs}
        key = env_label(member.config), member.label, json.dumps(everything, sort_keys=True)
        sorted_out.setdefault(key, []).append(member)
    for key in [key for key in sorted_out if key[1] is None]:  # the same settings as under a label of the user's
        same = [other for other in sorted_out if other[1] is not None and (other[0], other[2]) == (key[0], key[2])]
        if same:
            sorted_out[same[0]] += sorted_out.pop(key)
    check_labels(list(sorted_out.values()))
    pools = {key: tuple(without_repeated_seeds(runs)) for key, runs in sorted_out.items()}
    labels: dict[tuple[str, str | None, str], str] = {}
    for env in dict.fromkeys(key[0] for key in sorted_out):
        labels |= labels_on({key: [run for run, _ in pool] for key, pool in pools.items() if key[0] == env})
    return [Group(key[0], labels[key], pool) for key, pool in pools.items()]


def check_labels(groups: list[list[Member]]) -> None:
    """Refuse a label of the user's under which an environment has runs of different settings."""
    known: dict[tuple[str, str], Member] = {}
    for runs in groups:
        first = runs[0]
        if first.label is None:
            continue
        other = known.setdefault((env_label(first.config), first.label), first)
        if names := differing([first.config, other.config]):
            raise UsageError(
                f"the label {first.label!r} has runs of different settings on {env_label(first.config)}: "
                f"{describe(other.config, names)} in {shorten(other.path)}, but "
                f"{describe(first.config, names)} in {shorten(first.path)}. Give each a label of its own"
            )


def labels_on(groups: Mapping[tuple[str, str | None, str], Sequence[Member]]) -> dict[Any, str]:
    """The label of each group of one environment, given its runs: the user's, or the algorithm and what differs.

    Labels that are the same, as numbers are rounded, and those longer than a line, as of runs that have little in
    common, name the directories of the runs instead of settings.
    """
    firsts = {key: runs[0] for key, runs in groups.items()}
    own = {key: member for key, member in firsts.items() if member.label is None}
    texts = {key: automatic_label(member.config, [x.config for x in firsts.values()]) for key, member in own.items()}
    labels = {key: member.label for key, member in firsts.items() if member.label is not None}
    counts = Counter([*labels.values(), *texts.values()])
    for key, member in own.items():
        label = texts[key]
        if counts[label] > 1 or len(label) > LINE:
            others = [run.path for other, runs in groups.items() if other != key for run in runs]
            name = f"{algorithm_of(member.config)} ({directory_names(groups[key], others)})"
            label = unique(harmless(name, MAX_TEXT), {*labels.values(), *(x for x in counts if counts[x] == 1)})
        labels[key] = label
    return labels


def automatic_label(config: RunConfig, on_env: Sequence[RunConfig]) -> str:
    """``clip (learning_rate=0.001, gamma=0.9)``: what differs among the runs of its algorithm, most values first."""
    alike = [other for other in on_env if other.algo == config.algo]
    values = [settings_of(other) for other in alike]
    counts = {name: len({json.dumps(of.get(name), sort_keys=True) for of in values}) for name in differing(alike)}
    names = sorted(counts, key=lambda name: -counts[name])  # stable
    details = describe(config, names, DIGITS)
    return harmless(f"{algorithm_of(config)} ({details})" if details else algorithm_of(config), MAX_TEXT)


def algorithm_of(config: RunConfig) -> str:
    """The name of the algorithm, as people say it."""
    return config.algo.removeprefix("custom:")


def directory_names(runs: Sequence[Member], others: Sequence[str | Path]) -> str:
    """``a/run, b/run and 3 more``: the directories of a group's runs, told from each other and from the ``others``."""
    paths = [run.path for run in runs]
    names = [distinct_name(path, [*others, *(x for x in paths if x != path)]) for path in paths[:NAMED]]
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(names) + more


def distinct_name(path: str | Path, others: Sequence[str | Path]) -> str:
    """The last parts of ``path``, as many as none of the ``others`` ends in."""
    parts, endings = Path(path).parts, [Path(other).parts for other in others]
    for n in range(1, len(parts)):
        if all(ending[-n:] != parts[-n:] for ending in endings):
            return "/".join(parts[-n:])
    return str(path)


def without_repeated_seeds(runs: list[Member]) -> Iterator[tuple[Member, tuple[int, ...]]]:
    """The runs of a group, each with the seeds that no run before it has: the same training twice is no evidence."""
    taken: dict[int, Path] = {}
    for run in runs:
        repeated = [seed for seed in run.seeds if seed in taken]
        if repeated:
            logger.warning(
                f"{shorten(run.path)}: left out seed{'s' if len(repeated) > 1 else ''} "
                f"{', '.join(map(str, repeated))}, which {shorten(taken[repeated[0]])} has with the same settings"
            )
        own = tuple(seed for seed in run.seeds if seed not in taken)
        taken |= dict.fromkeys(own, run.path)
        if own:
            yield run, own


def settings_of(config: RunConfig) -> dict[str, Any]:
    """The settings that make a difference to what is learned, by their own names; without the environment's."""
    values = config.to_json()
    groups = [values.pop("ppo"), values.pop("atari") or {}]
    flat = values | {name: value for group in groups for name, value in group.items()}
    kept = {name: value for name, value in flat.items() if name not in (*BOOKKEEPING, "env", "env_kwargs")}
    return dict(json.loads(json.dumps(kept)))  # tuples as lists, as in config.json


def differing(configs: Sequence[RunConfig]) -> list[str]:
    """The names of the settings that are not the same in all of these."""
    settings = [settings_of(config) for config in configs]
    names = dict.fromkeys(name for values in settings for name in values)
    return [name for name in names if any(x.get(name) != settings[0].get(name) for x in settings)]


def describe(config: RunConfig, names: Sequence[str], digits: int = 6) -> str:
    """``epsilon=0.1, hidden=[64, 64]``: these settings of a run, floats with so many significant digits."""
    settings = settings_of(config)
    return ", ".join(f"{name}={value_text(settings.get(name), digits)}" for name in names)


def value_text(value: object, digits: int) -> str:
    """A value of a setting, its floats with so many significant digits."""
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    return f"[{', '.join(value_text(x, digits) for x in value)}]" if isinstance(value, list) else str(value)


def env_label(config: RunConfig) -> str:
    """An environment as people write it, with the arguments of its constructor: with others it is another one."""
    name = EnvId.parse(config.env).display
    arguments = ", ".join(f"{key}={value}" for key, value in sorted(config.env_kwargs.items()))
    return harmless(f"{name} ({arguments})" if arguments else name, MAX_TEXT)


def harmless(text: str, longest: int = MAX_LABEL) -> str:
    """``text`` with only the characters that no terminal, page or figure would read as more than text."""
    plain = "".join(x if (x.isascii() and x.isalnum()) or x in LABEL_CHARACTERS else "_" for x in text)
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."


def unique(label: str, taken: set[str]) -> str:
    """``label``, with a number where another has it already."""
    candidates = [label, *(f"{label} #{i}" for i in range(2, len(taken) + 3))]
    return next(x for x in candidates if x not in taken)
