"""What is kept of a fault: the rollout it was seen in and a description, so that it can be looked at and repeated."""

import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from proximax.buffers import check_rollout
from proximax.checkpoint import named_leaves
from proximax.errors import EnvironmentFault, NumericalError
from proximax.files import write_json
from proximax.frames import FrameStore

FOLDER = "fault"


def bad_row(rows: list[dict[str, Any]], num_envs: int) -> Exception:
    """The fault in the rows of an update that was not finite (it was undone), or that met a mask of nothing."""
    for row in rows:
        place = f"update {row['update']} of seed {row['seed']}, at {row['steps']} steps"
        if (stuck := int(row.get("stuck_row", -1))) >= 0:
            step, env = divmod(stuck, num_envs)
            return EnvironmentFault(
                f"the action mask of environment {env} allowed nothing at step {step} of the rollout of {place}. "
                "Allow one action at least, or end the episode there"
            )
        if row["finite"] != 1:
            return NumericalError(
                f"loss, gradient or normaliser not finite: {place}. "
                "Lower the learning rate, or look for huge rewards or observations"
            )
    raise AssertionError("a row of an update that went wrong")


def blamed(fault: Exception, rollout: Any) -> Exception:
    """``fault``, or what was not finite in the rollout before anything was computed from it."""
    try:
        if isinstance(fault, NumericalError) and rollout is not None and not isinstance(rollout.obs, FrameStore):
            check_rollout(rollout)
    except NumericalError as error:
        return error
    return fault


def keep(directory: Path, error: BaseException, rollout: Any, steps: int) -> None:
    """``error.log``, ``fault/fault.json``, and ``fault/rollout.npz``: each field of a rollout, ``[T, S, N, ...]``.

    What the disk does not take is told.
    """
    folder = directory / FOLDER
    try:
        (directory / "error.log").write_text("".join(traceback.format_exception(error)))
        folder.mkdir(exist_ok=True)
        write_json(folder / "fault.json", {"kind": type(error).__name__, "message": str(error), "steps": steps})
        if rollout is not None:
            np.savez(folder / "rollout.npz", allow_pickle=False, **named_leaves(plain(rollout)._asdict()))
    except OSError as fault:
        print(f"proximax: warning: what was met could not be kept in {folder}: {fault}", file=sys.stderr)


def plain(rollout: Any) -> Any:
    """The rollout in arrays alone."""
    return rollout._replace(obs=rollout.obs.stacked()) if isinstance(rollout.obs, FrameStore) else rollout
