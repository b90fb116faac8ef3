"""Final scores of several algorithms put together over environments: who is better, by how much, how sure."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from proximax.config import Rule, range_problem, refuse, shown
from proximax.errors import UsageError
from proximax.reports.reliability import (
    AGGREGATES,
    Estimate,
    aggregate,
    normalised,
    performance_profile,
    probability_of_improvement,
)

References = Mapping[str, Sequence[float]]
Table = dict[str, dict[str, np.ndarray]]  # scores by label and environment
ANY_NUMBER = Rule(-np.inf)
MAX_TAUS = 400  # of a performance profile
REFERENCES, EXTREMES = "reference scores", "the lowest and the highest score of all runs compared"


def check_references(references: References | None, envs: Sequence[str]) -> None:
    """Refuse reference scores that are not two numbers, low < high, for each environment: ``UsageError``."""
    if references is None:
        return
    if not isinstance(references, Mapping):
        raise UsageError(f"references = {shown(references)}: must be a dict of environments, each with (low, high)")
    for env, pair in references.items():
        if env not in envs:
            raise UsageError(f"references has {shown(env)}, which is not compared; compared: {', '.join(envs)}")
        if not isinstance(pair, Sequence) or isinstance(pair, str) or len(pair) != 2:
            raise UsageError(f"references: {env} = {shown(pair)}: must be (low, high)")
        refuse([range_problem(f"references: a score of {env}", x, ANY_NUMBER) for x in pair])
        if not pair[0] < pair[1]:
            raise UsageError(f"references: {env} = {shown(pair)}: the first score must be below the second")
    if missing := [env for env in envs if env not in references]:
        raise UsageError(f"references lacks {', '.join(missing)}: give (low, high) for every environment, or for none")


def put_together(runs: Sequence[dict[str, Any]], references: References | None = None) -> dict[str, Any]:
    """All statistics of several runs together; None for what there are too few of.

    ``improvement``: P(X > Y) of each pair of labels, over the environments that both have. ``profiles`` and
    ``aggregates``: of the labels that have all environments; returns are normalised where there are several.
    """
    envs = list(dict.fromkeys(run["env"] for run in runs))
    scores: Table = {}
    for run in runs:
        if run["returns"] and None not in run["returns"]:
            scores.setdefault(run["label"], {})[run["env"]] = np.array(run["returns"], np.float64)
    bounds = score_bounds(scores, envs, references)
    usable = [env for env in envs if env in bounds]
    complete = {label: of for label, of in scores.items() if usable and all(env in of for env in usable)}
    by_env = {
        label: [of[env] if len(envs) == 1 and not references else normalised(of[env], *bounds[env]) for env in usable]
        for label, of in complete.items()
    }
    return {
        "normalisation": {
            "by": REFERENCES if references else EXTREMES,
            "bounds": {env: list(bounds[env]) for env in usable},
        }
        if (references or len(envs) > 1) and usable
        else None,
        "improvement": improvements(scores),
        "profiles": profiles(by_env, usable) if by_env else None,
        "aggregates": aggregates(by_env, references is not None) if len(usable) > 1 and by_env else None,
        "notes": notes_on(runs, envs, usable, complete, references),
    }


def score_bounds(scores: Table, envs: Sequence[str], references: References | None) -> dict[str, tuple[float, float]]:
    """The scores that become 0 and 1: the references, or the lowest and highest of all; of envs where they differ."""
    if references:
        return {env: (float(references[env][0]), float(references[env][1])) for env in envs}
    bounds: dict[str, tuple[float, float]] = {}
    for env in envs:
        values = [of[env] for of in scores.values() if env in of]
        low, high = (float(f(np.concatenate(values))) if values else 0.0 for f in (np.min, np.max))
        if low < high:
            bounds[env] = low, high
        elif len(envs) == 1 and values:
            bounds[env] = low, low + 1
    return bounds


def improvements(scores: Table) -> list[dict[str, Any]]:
    """P(X > Y) of each pair of labels over the environments of both, X the one that wins more."""
    pairs: list[dict[str, Any]] = []
    for first, second in combinations(scores, 2):
        shared = [env for env in scores[first] if env in scores[second]]
        if not shared:
            continue
        x, y = ([scores[label][env] for env in shared] for label in (first, second))
        estimate = probability_of_improvement(x, y)
        if estimate.value < 0.5:
            first, second, estimate = second, first, probability_of_improvement(y, x)
        pairs.append({"x": first, "y": second, "envs": shared, "probability": estimate.value, "ci95": estimate.ci95})
    return pairs


def profiles(by_env: Mapping[str, list[np.ndarray]], envs: Sequence[str]) -> dict[str, Any]:
    """The share of runs above each score, of each label; a band where there are at least two seeds of each."""
    every = np.concatenate([np.concatenate(scores) for scores in by_env.values()])
    margin = 0.02 * (every.max() - every.min() or 1.0)
    ends = every.min() - margin, every.max() + margin
    taus = np.unique([*ends, *every])  # where a profile steps
    if len(taus) > MAX_TAUS:
        taus = np.linspace(*ends, MAX_TAUS)
    curves: dict[str, Any] = {}
    for label, scores in by_env.items():
        fraction, low, high = performance_profile(scores, taus)
        band = min(map(len, scores)) > 1
        curves[label] = {
            "fraction": _short(fraction),
            "low": _short(low) if band else None,
            "high": _short(high) if band else None,
        }
    return {"envs": list(envs), "tau": taus.tolist(), "curves": curves}


def _short(x: np.ndarray) -> list[float]:
    return [float(f"{value:.5g}") for value in x]


def aggregates(by_env: Mapping[str, list[np.ndarray]], referenced: bool) -> dict[str, dict[str, Any]]:
    """Each aggregate of each label.

    The optimality gap only with references: by the runs' own highest score it is 1 - mean.
    """
    names = [name for name in AGGREGATES if name != "optimality_gap" or referenced]
    estimates: dict[str, dict[str, Estimate]] = {
        label: {name: aggregate(scores, name) for name in names} for label, scores in by_env.items()
    }
    return {label: {name: x._asdict() for name, x in of.items()} for label, of in estimates.items()}


def notes_on(
    runs: Sequence[dict[str, Any]],
    envs: Sequence[str],
    usable: Sequence[str],
    complete: Table,
    references: References | None,
) -> list[str]:
    """What was left out, and why."""
    notes = [
        f"{run['label']} on {run['env']}: no score, as not all evaluation episodes ended"
        for run in runs
        if None in run["returns"]
    ]
    if len(envs) > 1:
        notes += [f"{env}: all scores are equal, left out of the aggregates" for env in envs if env not in usable]
        labels = dict.fromkeys(run["label"] for run in runs)
        notes += [
            f"{label}: not on all environments, left out of profiles and aggregates"
            for label in labels
            if label not in complete
        ]
    counts = {len(run["returns"]) for run in runs if run["label"] in complete}
    if len(counts) > 1 and len(usable) > 1:
        notes.append("numbers of seeds differ: the IQM over environments gives more weight to those with more seeds")
    if len(usable) > 1 and not references:
        notes.append("normalised scores depend on the runs that are compared: with others they change")
    return notes
