"""A run as it was on disk in its middle; imports no JAX, as several processes need it before they join."""

import shutil
from pathlib import Path


def copy_half(whole: Path, folder: Path, steps: int) -> None:
    """What a kill after so many steps would have left of a finished run: its logs have gone on since the checkpoint."""
    shutil.copytree(whole, folder)
    (folder / "result.json").unlink()
    for path in (folder / "checkpoints").glob("step-*"):
        if path.name > f"step-{steps:012d}":
            shutil.rmtree(path)
