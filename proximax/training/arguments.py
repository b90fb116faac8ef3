"""Arguments of ``train`` and ``run`` that are refused before anything begins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proximax.config import RunConfig, bool_problem, path_problem, refuse, shown, type_problem
from proximax.envs import EnvLike, can_recreate
from proximax.errors import UsageError
from proximax.loggers import Log, check_log, log_problem
from proximax.networks import network_problem
from proximax.ppo import Algorithm
from proximax.runs import Resume
from proximax.training.callbacks import hook_problem, is_callback, scheduled_settings
from proximax.web import require_server


def check_arguments(
    config: Any,
    custom_algorithm: Any,
    out: Any,
    network: Any,
    callbacks: Any,
    log: Any,
    flags: dict[str, Any],
    resume: Any,
) -> None:
    """Refuse arguments of other types than ``run`` takes: none is ignored."""
    are_functions = isinstance(callbacks, Sequence) and all(map(is_callback, callbacks))
    refuse(
        [
            type_problem("config", config, RunConfig, "a RunConfig"),
            type_problem("custom_algorithm", custom_algorithm, (Algorithm, type(None)), "an Algorithm or None"),
            path_problem("out", out, optional=True),
            network_problem(network, names=False),
            ""
            if are_functions
            else f"callbacks = {shown(callbacks)}: must be a list of functions or TrainingCallback objects",
            *(map(hook_problem, callbacks) if are_functions else ()),
            log_problem(log),
            *(bool_problem(name, flag) for name, flag in flags.items()),
            "quiet and verbose are both True: give one of them" if flags["quiet"] is flags["verbose"] is True else "",
            "" if resume == "auto" else bool_problem("resume", resume),
        ]
    )
    scheduled_settings(callbacks)  # refuses two of one setting


def check_requirements(
    config: RunConfig, env: EnvLike, out: str | Path | None, log: Log, flags: dict[str, Any], resume: Resume
) -> None:
    """Refuse what needs a run directory or a package where there is none, or a second environment that cannot be."""
    given = {**flags, "video_every": config.video_every is not None, "resume": bool(resume)}
    for name in ("profile", "watch", "video_every", "resume"):
        if given[name] and out is None:
            raise UsageError(f"{name}: its files are in the run directory; name one with out")
    check_log(log, out)
    if flags["watch"]:
        require_server()
    for name in ("stop_at_return", "eval_every"):
        if getattr(config, name) is not None and not can_recreate(env):
            raise UsageError(
                f"{name} evaluates on a second environment: pass an id, a callable that returns one single "
                "environment, or a JaxEnv, no object"
            )
