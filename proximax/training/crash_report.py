"""What is kept of an error: a description, and the rollout it occurred in, so that it can be examined and repeated."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from proximax.errors import DependencyError, EnvError, NumericalError, StorageError, text_of
from proximax.loggers import Rows
from proximax.ppo import check_rollout
from proximax.runtime import named_leaves, write_json, write_through
from proximax.spaces import FrameStore
from proximax.types import Transition

logger = logging.getLogger(__name__)

FOLDER = "crash"
SAVED = "saved in"  # begins the note on an error of a run that was saved


def was_saved(error: BaseException) -> bool:
    """Whether the run that ended by this error was saved, and has its crash report."""
    notes = [note for x in (error, error.__cause__) for note in getattr(x, "__notes__", ())]
    return any(note.startswith(SAVED) for note in notes)


@contextmanager
def translate_out_of_memory() -> Iterator[None]:
    """Name what runs out of memory, JAX's or Python's, as such, and say what needs less."""
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        text = (text_of(error).splitlines() or ["no memory is left"])[0].rstrip(".")
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in text:
            raise
        raise DependencyError(
            f"out of memory: {text}. Fewer environments (--num-envs) or seeds, shorter rollouts (--ppo.num-steps), "
            "smaller minibatches or a smaller network need less; JAX itself takes 75 % of a GPU "
            "(XLA_PYTHON_CLIENT_MEM_FRACTION, XLA_PYTHON_CLIENT_PREALLOCATE=false)"
        ) from error


def diagnose_failed_update(rows: Rows, num_envs: int, rollout: Transition | None) -> Exception:
    """Why an update failed (and was undone): a number that is not finite, or a mask that allows no action.

    ``rollout``: what the update learned from; what is not finite there was so before anything was computed from it.
    """
    for row in rows:
        place = f"update {row['update']} of seed {row['seed']}, at {row['steps']} steps"
        if (stuck := int(row.get("fully_masked_index", -1))) >= 0:
            step, env = divmod(stuck, num_envs)
            return EnvError(
                f"the action mask of environment {env} allowed nothing at step {step} of the rollout of {place}. "
                "Allow one action at least, or end the episode there"
            )
        if row["finite"] != 1:
            try:
                if rollout is not None and not isinstance(rollout.obs, FrameStore):  # bytes are finite
                    check_rollout(rollout, first_seed=rows[0]["seed"])
            except NumericalError as error:
                return NumericalError(f"{place}: {error}")
            return NumericalError(
                f"loss, gradient or normaliser not finite: {place}. "
                "Lower the learning rate, or look for huge rewards or observations"
            )
    raise AssertionError("a row of an update that went wrong")


def write_crash_report(directory: Path, error: BaseException, rollout: Transition | None, steps: int) -> None:
    """``error.log``, ``crash/crash.json``, and ``crash/rollout.npz``: each field of a rollout, ``[T, S, N, ...]``.

    Of nested observations and actions it has each leaf by itself, under a name like ``obs['camera']``. What the disk
    does not take is logged as a warning. What was saved is a note on ``error``.
    """
    folder = directory / FOLDER
    try:
        trace = "".join(traceback.format_exception(error))
        (directory / "error.log").unlink(missing_ok=True)
        write_through(directory / "error.log", trace.encode(errors="backslashreplace"))  # whatever text it has
        folder.mkdir(exist_ok=True)
        write_json(folder / "crash.json", {"kind": type(error).__name__, "message": text_of(error), "steps": steps})
        (folder / "rollout.npz").unlink(missing_ok=True)  # of an earlier error
        if rollout is not None:
            np.savez(folder / "rollout.npz", **named_arrays(rollout))
        if any((directory / "checkpoints").glob("step-*")):
            error.add_note(f"{SAVED} {directory}, the traceback in error.log there; resume=True continues the run")
    except (OSError, StorageError) as write_error:
        logger.warning(f"could not write the crash report in {folder}: {write_error}")


def named_arrays(rollout: Transition) -> dict[str, Any]:
    """The arrays of a rollout by name."""
    if isinstance(rollout.obs, FrameStore):
        rollout = rollout._replace(obs=rollout.obs.stacked())
    fields = rollout._asdict().items()
    return {f"{name}{path}": x for name, tree in fields for path, x in named_leaves(tree).items()}
