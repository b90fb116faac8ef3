"""``proximax demo``: CartPole-v1 until it is solved, in the browser where there is one, and what to do next."""

import os
import sys
import webbrowser
from contextlib import suppress
from pathlib import Path

from proximax.cli.output import score_line
from proximax.errors import DependencyError
from proximax.runs import run_name_of
from proximax.runtime import write_stderr
from proximax.training import Result, train
from proximax.web import Watcher, require_server, watch

ENV, SOLVED = "CartPole-v1", 475.0  # of 500: the score from which on Gymnasium calls it solved
INSTALL = 'to watch it in the browser: pip install "proximax[watch]"'


def demo(out: Path | None, browser: bool) -> None:
    """Train, with a page of it where the ``watch`` extra is installed; the page stays until Ctrl-C in a terminal."""
    run_dir = out or new_directory(Path("runs"))
    print(f"{ENV}: keep a pole upright by pushing its cart. Solved at a mean return of {SOLVED:g} of 500.", flush=True)
    watcher = open_page(run_dir, browser)
    try:
        result = train(ENV, stop_at_return=SOLVED, out=run_dir)
        print(summary(result, run_dir, watcher))
        if watcher is not None and sys.stdin.isatty() and sys.stdout.isatty():
            print(f"The page stays until Ctrl-C: {watcher.address}", flush=True)
            with suppress(KeyboardInterrupt):
                watcher.wait()
    finally:
        if watcher is not None:
            watcher.close()


def new_directory(folder: Path) -> Path:
    """A run directory that does not exist yet."""
    stem = folder / f"demo-{run_name_of(ENV)}"
    places = (stem, *(stem.with_name(f"{stem.name}-{i}") for i in range(2, 10_000)))
    return next(path for path in places if not path.exists())


def open_page(run_dir: Path, browser: bool) -> Watcher | None:
    """The page of the run, opened in a browser where there is one; None without the extra."""
    try:
        require_server()
    except DependencyError:
        write_stderr(f"proximax: {INSTALL}")
        return None
    watcher = watch(run_dir)
    if browser and has_screen():
        with suppress(webbrowser.Error):
            webbrowser.open(watcher.address)
    return watcher


def has_screen() -> bool:
    """Whether a browser's window could be seen; without one, a browser in the terminal would hide the training."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def summary(result: Result, run_dir: Path, watcher: Watcher | None) -> str:
    """What was reached, and what to do next."""
    solved = result.evaluation.worst >= SOLVED
    lines = [
        f"{'solved' if solved else 'not solved'} in {result.steps:,} steps and {result.wall_s:.1f} s",
        score_line(result.summary, result.config.seeds, result.config.eval_episodes),
        f"saved in {run_dir}",
        "next:",
        f"  proximax eval {run_dir}           # its score again, on other episodes with --seed 1",
        f"  proximax video {run_dir}          # how it plays; needs the video extra",
        f"  proximax train Pendulum-v1{' ' * max(1, len(str(run_dir)) - 8)}# another environment; proximax presets lists what is tuned",
    ]
    if watcher is not None:
        lines.insert(4, f"  {watcher.address}  # look at it, and play against it: the button Play")
    return "\n".join(lines)
