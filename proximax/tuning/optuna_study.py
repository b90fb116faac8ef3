"""The study that Optuna keeps: what was tried, what is tried next, what is not worth continuing.

Samplers, pruners and storage are Optuna's. A trial that a killed process left running is taken up again, with its own
settings and seeds, from its first update.
"""

import json
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from proximax.config import choice_problem, flatten_dict, refuse
from proximax.errors import DependencyError, StorageError, UsageError, describe
from proximax.tuning.search_space import Parameter, Space

SamplerName = Literal["tpe", "random", "cmaes"]
PrunerName = Literal["halving", "none"]
HALF = 2  # of the trials that reach a rung about one in so many continues
SETTINGS_KEY = "proximax"  # of what a study was made with, in Optuna's record of it
SEED_KEY, STEPS_KEY, END_KEY = "seed", "steps", "ended"
COMPLEMENT = "1 - "  # before the name of a setting that Optuna sees as 1 - x


class TrialRecord(NamedTuple):
    """A trial of a study: its ``number``, ``state`` (complete, pruned, diverged, running), ``score``, ``settings``.

    ``score``: mean evaluation return when it ended; None if it is not known. ``seed``: the first of its seeds.
    ``steps``: environment steps of each seed. ``curve``: step -> score at each rung.
    """

    number: int
    state: str
    score: float | None
    settings: dict[str, float]
    seed: int
    steps: int
    curve: dict[int, float]


class OpenTrial(NamedTuple):
    """A trial under way."""

    trial: Any  # Optuna's
    settings: dict[str, float]
    reported: set[int]  # rungs whose score Optuna has already, as of a trial that is trained again


class Study:
    """An Optuna study of mean returns."""

    def __init__(self, study: Any, space: Space) -> None:
        self.study, self.space = study, space
        self._interrupted = self._trials("RUNNING")

    def _trials(self, *states: str) -> list[Any]:
        optuna = require_optuna()
        return self.study.get_trials(deepcopy=False, states=[optuna.trial.TrialState[name] for name in states])

    @property
    def ended(self) -> int:
        """How many trials have ended."""
        return len(self._trials("COMPLETE", "PRUNED", "FAIL"))

    def ask(self) -> OpenTrial:
        """The next trial: one that was interrupted, or a new one."""
        if self._interrupted:
            frozen = self._interrupted.pop(0)
            trial = require_optuna().trial.Trial(self.study, frozen._trial_id)
            reported = set(frozen.intermediate_values)
        else:
            trial, reported = self.study.ask(), set()
        return OpenTrial(trial, {name: suggest(trial, name, p) for name, p in self.space.items()}, reported)

    def begin(self, trial: OpenTrial, seed: int) -> None:
        """Note which seeds a trial has."""
        trial.trial.set_user_attr(SEED_KEY, seed)

    def report(self, trial: OpenTrial, rung: int, score: float) -> None:
        """The score of a trial at a rung."""
        if rung not in trial.reported:
            trial.reported.add(rung)
            trial.trial.report(score, rung)

    def is_worse(self, trial: OpenTrial) -> bool:
        """Whether the pruner ends it at this rung. Ask about a trial after all were reported that reached the rung."""
        return bool(trial.trial.should_prune())

    def end(self, trial: OpenTrial, state: str, score: float | None, steps: int) -> None:
        """A trial ends: ``complete`` with its score, ``pruned``, or ``diverged``: to the sampler the worst."""
        optuna = require_optuna()
        trial.trial.set_user_attr(STEPS_KEY, steps)
        trial.trial.set_user_attr(END_KEY, state)
        if state == "complete":
            self.study.tell(trial.trial, score)
        else:
            self.study.tell(trial.trial, state=optuna.trial.TrialState.PRUNED)

    def records(self) -> list[TrialRecord]:
        """All trials, in order."""
        return [record_of(frozen, self.space) for frozen in self.study.get_trials(deepcopy=False)]


def record_of(frozen: Any, space: Space) -> TrialRecord:
    """A trial as Optuna keeps it, in proximax's words."""
    settings = {}
    for name in space:
        if name in frozen.params:
            settings[name] = float(frozen.params[name])
        elif COMPLEMENT + name in frozen.params:
            settings[name] = complement(frozen.params[COMPLEMENT + name], space[name])
    curve = {int(step): float(x) for step, x in sorted(frozen.intermediate_values.items())}
    state = frozen.user_attrs.get(END_KEY, "running") if frozen.state.is_finished() else "running"
    score = frozen.value if state == "complete" else next(reversed(curve.values()), None)
    score = None if score is None or score != score or state == "diverged" else float(score)
    seed, steps = frozen.user_attrs.get(SEED_KEY, -1), frozen.user_attrs.get(STEPS_KEY, 0)
    return TrialRecord(frozen.number, state, score, settings, seed, steps, curve)


def suggest(trial: Any, name: str, parameter: Parameter) -> float:
    """The value of a setting in a trial."""
    if parameter.choices:
        return float(trial.suggest_categorical(name, list(parameter.choices)))
    if parameter.scale == "log-complement":
        low, high = 1 - parameter.high, 1 - parameter.low
        return complement(trial.suggest_float(COMPLEMENT + name, low, high, log=True), parameter)
    return float(trial.suggest_float(name, parameter.low, parameter.high, log=parameter.scale == "log"))


def complement(x: float, parameter: Parameter) -> float:
    """1 - x, which rounding does not take out of the range."""
    return min(max(1 - float(x), parameter.low), parameter.high)


def as_suggested(settings: Mapping[str, float | None], space: Space) -> dict[str, float] | None:
    """Settings as Optuna sees them; None where one of them is not in the space."""
    seen: dict[str, float] = {}
    for name, parameter in space.items():
        value = settings[name]
        if value is None:
            return None
        inside = value in parameter.choices if parameter.choices else parameter.low <= value <= parameter.high
        if not inside:
            return None
        is_complement = parameter.scale == "log-complement" and not parameter.choices
        seen |= {COMPLEMENT + name: 1 - value} if is_complement else {name: value}
    return seen


def require_optuna() -> Any:
    """``optuna``. Raises ``DependencyError`` with the line that installs it."""
    try:
        import optuna
    except ImportError as error:
        raise DependencyError('a search needs optuna: pip install "proximax[tune]"') from error
    return optuna


@contextmanager
def quiet_optuna() -> Iterator[Any]:
    """``optuna`` without its own lines on stderr, and without warnings of features that may yet change."""
    optuna = require_optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)


def check_names_of(sampler: object, pruner: object) -> None:
    """Refuse samplers and pruners that there are not."""
    refuse([choice_problem("sampler", sampler, SamplerName), choice_problem("pruner", pruner, PrunerName)])


def make_sampler(name: SamplerName, seed: int) -> Any:
    """One of Optuna's samplers. Trials under way count as bad ones for TPE, so that a batch is not of one place."""
    samplers = require_optuna().samplers
    if name == "random":
        return samplers.RandomSampler(seed=seed)
    if name == "cmaes":
        try:
            import cmaes  # noqa: F401
        except ImportError as error:
            raise DependencyError('sampler = cmaes needs cmaes: pip install "proximax[tune]"') from error
        return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
    return samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)


def make_pruner(name: PrunerName) -> Any:
    """Successive halving at rungs 1, 2, 4, ... (arXiv 1810.05934), or none."""
    pruners = require_optuna().pruners
    if name == "none":
        return pruners.NopPruner()
    return pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=HALF, min_early_stopping_rate=0)


def open_storage(storage: str | Path | None) -> Any:
    """A URL as Optuna takes it; a ``.log`` file is a journal, any other file SQLite; None: memory."""
    if storage is None or "://" in str(storage):
        return None if storage is None else str(storage)
    path = Path(storage).absolute()
    if path.suffix != ".log":
        return f"sqlite:///{path}"
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    return JournalStorage(JournalFileBackend(str(path)))


def without_password(text: object) -> str:
    """A text, as a storage's URL, without the user's name and password in it."""
    return re.sub(r"://[^/@\s]*@", "://***@", str(text))


@contextmanager
def storing_study(storage: str | Path | None) -> Iterator[None]:
    """Turn an error of the database into a ``StorageError``."""
    optuna = require_optuna()
    try:
        yield
    except optuna.exceptions.StorageInternalError as error:
        reason = without_password(describe(error.__cause__ or error)).splitlines()[0]
        raise StorageError(
            f"the study cannot be kept in {without_password(storage)}: {reason}. What it has is safe: the same command "
            "continues it"
        ) from error


def open_study(
    name: str,
    storage: str | Path | None,
    space: Space,
    made_with: dict[str, Any],
    methods: tuple[SamplerName, PrunerName],
    seed: int,
) -> Study:
    """A new study, or the one of this name in ``storage``, which must have been made with the same settings."""
    optuna = require_optuna()
    try:
        study = optuna.create_study(
            study_name=name, storage=open_storage(storage), direction="maximize", load_if_exists=True
        )
    except Exception as error:  # of SQLAlchemy, of a driver, of the file
        reason = without_password(describe(error))
        raise StorageError(f"the study {name} cannot be opened in {without_password(storage)}: {reason}") from error
    storage, plain = without_password(storage), json.loads(json.dumps(made_with))
    before = study.user_attrs.get(SETTINGS_KEY)
    if before is None and study.get_trials(deepcopy=False):
        raise UsageError(f"the study {name} in {storage} is not one of proximax; choose another --study")
    if before is not None and before != plain:
        raise UsageError(f"the study {name} in {storage} was made with other settings: {differences(before, plain)}")
    if before is None:
        study.set_user_attr(SETTINGS_KEY, plain)
    # Begun again with the same numbers, a sampler would suggest the first trials again.
    study.sampler = make_sampler(methods[0], (seed + len(study.get_trials(deepcopy=False))) % 2**32)
    study.pruner = make_pruner(methods[1])
    return Study(study, space)


def differences(before: dict[str, Any], after: dict[str, Any]) -> str:
    """What differs between what two studies were made with, and what to do."""
    old, new = flatten_dict(before), flatten_dict(after)
    names = [name for name in old | new if old.get(name) != new.get(name)]
    shown = [f"{name} = {old.get(name)!r} there, {new.get(name)!r} asked for" for name in names]
    return f"{'; '.join(shown[:4])}{', and more' if len(shown) > 4 else ''}. Choose another --study or --out"
