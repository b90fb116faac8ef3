"""Runs and environments as the command line names them."""

from collections.abc import Sequence
from pathlib import Path

from proximax.errors import CheckpointError, UsageError
from proximax.reports import has_runs
from proximax.runtime import shorten


def split_targets(targets: Sequence[str]) -> tuple[list[str], dict[str | None, list[str]]]:
    """(environments, runs under their labels or None) of what ``compare`` names; a directory with runs is runs."""
    envs: list[str] = []
    runs: dict[str | None, list[str]] = {}
    for target in targets:
        label, path = label_and_path(target)
        if has_runs(Path(path)):
            runs.setdefault(label, []).append(path)
        elif label is not None or is_path(path):
            raise CheckpointError(f"{shorten(Path(path))} is not a run directory, and no run is below it")
        else:
            envs.append(target)
    return envs, runs


def runs_named(targets: Sequence[str]) -> dict[str | None, list[str]]:
    """The runs that ``plot`` and ``report`` name, under their labels or None."""
    runs: dict[str | None, list[str]] = {}
    for target in targets:
        label, path = label_and_path(target)
        runs.setdefault(label, []).append(path)
    return runs


def label_and_path(target: str) -> tuple[str | None, str]:
    """``LABEL=RUN``, or a path alone, which may have a = in it."""
    label, equals, path = target.partition("=")
    return (None, target) if not equals or not label or Path(target).exists() else (label, path)


def is_path(text: str) -> bool:
    """Whether a name that is not a run can only be meant as a path."""
    return text.startswith((".", "/", "~", "runs/")) or text.endswith("/") or Path(text).is_dir()


def references_named(texts: Sequence[str]) -> dict[str, tuple[float, float]] | None:
    """The scores of ``--references ENV=LOW,HIGH ...``."""
    references: dict[str, tuple[float, float]] = {}
    for text in texts:
        env, _, pair = text.rpartition("=")
        try:
            low, high = (float(x) for x in pair.split(","))
        except ValueError as error:
            message = f"--references {text}: write ENV=LOW,HIGH, as in CartPole-v1=20,500"
            raise UsageError(message) from error
        if not env or env in references:
            raise UsageError(f"--references {text}: {'named twice' if env else 'names no environment'}")
        references[env] = (low, high)
    return references or None
