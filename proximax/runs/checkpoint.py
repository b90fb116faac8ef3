"""Checkpoints: everything that decides the future of a run, in safetensors and JSON, written whole or not at all.

    RUN/checkpoints/step-000000102400/policy.safetensors    parameters and observation normaliser
                                      state.safetensors     the rest of the ``TrainState``, environments, counters
                                      manifest.json         what they are, and the checksum of each

The structure of what is read comes from the config, never from the file. No pickle on any path.
"""

import hashlib
import logging
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as save_tensors

from proximax.errors import CheckpointError
from proximax.runs.pytree_json import from_plain, to_plain
from proximax.runtime import (
    MAX_BYTES,
    json_bytes,
    named_leaves,
    open_plain,
    proximax_version,
    read_json,
    refuse_link,
    regular_size,
    sha256,
    sync_folder,
    write_through,
)
from proximax.types import PyTree, TrainState

logger = logging.getLogger(__name__)

FORMAT = 2
POLICY, STATE, MANIFEST = "policy.safetensors", "state.safetensors", "manifest.json"
NAME = re.compile(r"step-\d{12}")
TEMPORARY, REPLACED, DAMAGED = ".new-", ".old-", "damaged-"
_NEEDED = {
    "format": int,
    "version": str,
    "update": int,
    "steps": int,
    "network": str,
    "observation_space": dict,
    "action_space": dict,
    "config": dict,
    "files": dict,
    "progress": dict,
    "sha256": str,
}


class NewerFormatError(CheckpointError):
    """A checkpoint of a later version: it is not damaged, and an older one does not replace it."""


class Snapshot(NamedTuple):
    """A run between two updates. Nobody writes to its arrays any more."""

    state: TrainState  # [S, ...]
    environment: PyTree | None  # ``HostEnv.get_state``; None: not available, or part of ``state``
    progress: dict[str, Any]  # what else a resumed run needs: counters, logs, the best evaluation
    update: int
    steps: int  # of each seed, as the config counts them
    evaluation: float | None  # the mean return of these policies, if they were evaluated


class Checkpoint(NamedTuple):
    """A checkpoint on disk, of which the manifest was read."""

    path: Path
    manifest: dict[str, Any]


def save_checkpoint(folder: Path, header: dict[str, Any], snapshot: Snapshot) -> Path:
    """Write ``folder/step-STEPS``; ``header``: the manifest's entries about the run.

    Raises ``OSError``, and then nothing has changed.
    """
    policy, rest = tensors_of(snapshot.state)
    progress, environment = (to_plain(getattr(snapshot, name), name, rest) for name in ("progress", "environment"))
    data = {POLICY: save_tensors(policy), STATE: save_tensors(rest)}
    manifest = {
        "format": FORMAT,
        "version": proximax_version(),
        "update": snapshot.update,
        "steps": snapshot.steps,
        "evaluation": snapshot.evaluation,
        **header,
        "files": {name: {"bytes": len(x), "sha256": sha256(x)} for name, x in data.items()},
        "progress": progress,
        "environment": environment,
    }
    data[MANIFEST] = json_bytes(manifest | {"sha256": sha256(json_bytes(manifest))})
    if (size := len(data[MANIFEST])) > MAX_BYTES:
        raise CheckpointError(f"the run's plain values take {size:,} bytes, of which at most {MAX_BYTES:,} are read")
    path = folder / f"step-{snapshot.steps:012d}"
    temporary, replaced = (folder / f"{prefix}{path.name}" for prefix in (TEMPORARY, REPLACED))
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        folder.mkdir(exist_ok=True)  # but not the run's directory, which may have been renamed
        temporary.mkdir()
        for name, content in data.items():
            write_through(temporary / name, content)
        sync_folder(temporary)
        if path.exists():  # saved at this very step before; if this process ends here, it is found under that name
            shutil.rmtree(replaced, ignore_errors=True)
            path.rename(replaced)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        remove_partial(folder)
        raise
    sync_folder(folder)
    shutil.rmtree(replaced, ignore_errors=True)
    return path


def remove_partial(folder: Path) -> None:
    """Remove what a process that was killed while saving left behind; a good checkpoint gets its name back."""
    for path in folder.glob(f"{TEMPORARY}*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{REPLACED}*"):
        place = path.with_name(path.name.removeprefix(REPLACED))
        if place.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.rename(place)


def tensors_of(state: TrainState) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(the policies' arrays, all others), each under its path in ``TrainState``."""
    named, policy = {name: np.asarray(x, order="C") for name, x in named_leaves(state).items()}, {}
    for name in [name for name in named if name.startswith((".params", ".obs_moments"))]:
        policy[name] = named.pop(name)
    return policy, named


def read_manifest(path: Path) -> Checkpoint:
    """The checkpoint at ``path``, its manifest checked; its tensors are checked as they are read."""
    refuse_link(path, CheckpointError)
    manifest = read_json(path / MANIFEST, f"{path} is not a checkpoint")
    check_format(path, manifest)
    for key, kind in _NEEDED.items():
        if not isinstance(manifest.get(key), kind):
            raise CheckpointError(f"{path / MANIFEST} lacks {key}, or it has the wrong type")
    stated = sha256(json_bytes({key: value for key, value in manifest.items() if key != "sha256"}))
    if stated != manifest["sha256"]:
        raise CheckpointError(f"{path / MANIFEST} is damaged: its sha256 is not the one it states")
    return Checkpoint(path, manifest)


def check_format(path: Path, manifest: dict[str, Any]) -> None:
    """Refuse a format that this version does not read."""
    number = manifest.get("format")
    if number == FORMAT:
        return
    by = f", made by proximax {manifest.get('version')!r}" if isinstance(manifest.get("version"), str) else ""
    text = f"{path / MANIFEST} has format {number!r}{by}; this is proximax {proximax_version()}, which reads {FORMAT}"
    if isinstance(number, int) and number > FORMAT:
        raise NewerFormatError(f"{text}: pip install --upgrade proximax")
    raise CheckpointError(text)


def read_tensors(checkpoint: Checkpoint, name: str) -> dict[str, np.ndarray]:
    """The arrays of one of its files, if size and checksum are those of the manifest."""
    path, stated = checkpoint.path / name, checkpoint.manifest["files"].get(name)
    if not isinstance(stated, dict):
        raise CheckpointError(f"{checkpoint.path / MANIFEST} does not list {name}")
    try:
        if (size := regular_size(path)) != stated.get("bytes"):
            raise CheckpointError(f"{path} is damaged: {size:,} bytes, {stated.get('bytes')!r} were written")
        with open_plain(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != stated.get("sha256"):
            raise CheckpointError(f"{path} is damaged: its sha256 is not the one in {MANIFEST}")
        with safe_open(path, framework="numpy") as tensors:
            return {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118  # not a dict
    except (OSError, SafetensorError, AttributeError, KeyError, TypeError, ValueError, MemoryError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def progress_of(checkpoint: Checkpoint, tensors: dict[str, np.ndarray]) -> tuple[dict[str, Any], PyTree | None]:
    """(progress, state of the environments); takes their arrays out of ``tensors``."""
    manifest = checkpoint.manifest
    return from_plain(manifest["progress"], tensors), from_plain(manifest.get("environment"), tensors)


def checkpoint_names(folder: Path) -> list[str]:
    """The names of the checkpoints in a folder, newest first; links are left out, and the folder must not be one."""
    refuse_link(folder, CheckpointError)
    if not folder.is_dir():
        return []
    folders = (path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    names = {path.name.removeprefix(REPLACED) for path in folders}
    return sorted((name for name in names if NAME.fullmatch(name)), reverse=True)


def checkpoint_path(folder: Path, name: str) -> Path:
    """The folder of a checkpoint: its name, except while another of the same step takes its place."""
    path = folder / name
    return path if path.exists() else folder / f"{REPLACED}{name}"


def find_checkpoint(
    run_dir: Path, which: str = "last", read: tuple[str, ...] = (POLICY,), quarantine_damaged: bool = False
) -> tuple[Checkpoint, dict[str, np.ndarray]]:
    """(checkpoint, the arrays of its files ``read``): the newest that is whole, the best by evaluation, or one by name.

    A damaged one is skipped for the one before, with a warning, and renamed if ``quarantine_damaged``. Raises
    ``CheckpointError`` if none is whole, or the newest was made by a later version.
    """
    folder, faults = run_dir / "checkpoints", dict[Path, CheckpointError]()
    for checkpoint in candidates(folder, which, faults):
        try:
            tensors: dict[str, np.ndarray] = {}
            for name in read:
                tensors |= read_tensors(checkpoint, name)
        except CheckpointError as error:
            faults[checkpoint.path] = error
            continue
        for path, fault in faults.items():
            logger.warning(f"{fault}. Using {checkpoint.path.name} instead")
            if quarantine_damaged:
                quarantine(path)
        return checkpoint, tensors
    others = [name for name in checkpoint_names(folder) if checkpoint_path(folder, name) not in faults]
    remedy = f"Others: {', '.join(others)}, last, best" if others else "Put a copy in place, or train again"
    raise CheckpointError(f"no checkpoint of {run_dir} can be used: {'; '.join(map(str, faults.values()))}. {remedy}")


def quarantine(path: Path) -> None:
    """Rename a damaged checkpoint, so that it is not tried again; where that fails it is skipped again."""
    places = (path.with_name(f"{DAMAGED}{path.name}{suffix}") for suffix in ("", *(f"-{i}" for i in range(1, 100))))
    with suppress(OSError):
        path.rename(next(place for place in places if not place.exists()))


def candidates(folder: Path, which: str, faults: dict[Path, CheckpointError]) -> Iterator[Checkpoint]:
    """The checkpoints to try, in order, read one by one; those without a good manifest go to ``faults``.

    For the best one all must be read.
    """
    names = checkpoint_names(folder)
    if not names:
        raise CheckpointError(
            f"{folder.parent} holds no checkpoint: it is not a run, or was interrupted before its first"
        )
    if which not in ("last", "best") and which not in names:
        raise CheckpointError(f"{folder.parent} has no checkpoint {which!r}; it has {', '.join(names)}, last, best")
    good = _readable(
        [checkpoint_path(folder, name) for name in (names if which in ("last", "best") else [which])], faults
    )
    yield from sorted(good, key=rank, reverse=True) if which == "best" else good


def _readable(paths: list[Path], faults: dict[Path, CheckpointError]) -> Iterator[Checkpoint]:
    for path in paths:
        try:
            yield read_manifest(path)
        except NewerFormatError:
            raise
        except CheckpointError as error:
            faults[path] = error


def rank(checkpoint: Checkpoint) -> tuple[float, int]:
    """The sort key of the best checkpoint: by evaluation; the later one of equals."""
    return score_of(checkpoint), checkpoint.manifest["update"]


def score_of(checkpoint: Checkpoint) -> float:
    """The mean return of a checkpoint's evaluation; minus infinity without one."""
    value = checkpoint.manifest.get("evaluation")
    return float(value) if isinstance(value, (int, float)) else float("-inf")
