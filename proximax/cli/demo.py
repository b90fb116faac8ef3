"""``proximax demo``: CartPole-v1 until it is solved, in the browser where there is one, and what to do next."""

import os
import shlex
import sys
import webbrowser
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proximax.cli.arguments import Debug
from proximax.cli.output import score_line
from proximax.errors import DependencyError
from proximax.runs import run_name_of
from proximax.runtime import printable, write_stderr
from proximax.training import Result, train
from proximax.web import Watcher, require_server, watch

ENV, SOLVED = "CartPole-v1", 475.0  # of 500: the score from which on Gymnasium calls it solved
INSTALL = 'to watch it in the browser: pip install "proximax[watch]"'


@dataclass(frozen=True)
class Demo:
    """Train CartPole-v1 until it is solved, and show it in the browser where there is one."""

    out: Path | None = None
    """Run directory, which must not exist yet. Default: runs/demo-CartPole-v1."""
    browser: bool = True
    """Open the page in a browser, where there is a screen; its address is printed in any case."""
    debug: Debug = False


def run_demo(command: Demo) -> None:
    """``proximax demo``: with a page where the ``watch`` extra is installed, which stays until Ctrl-C in a terminal."""
    run_dir = command.out or new_directory(Path("runs"))
    print(f"{ENV}: keep a pole upright by pushing its cart. Solved at a mean return of {SOLVED:g} of 500.", flush=True)
    watcher = open_page(run_dir, command.browser)
    try:
        result = train(ENV, stop_at_return=SOLVED, out=run_dir)
        stays = watcher if watcher is not None and sys.stdin.isatty() and sys.stdout.isatty() else None
        print(printable(summary(result, run_dir, stays)), flush=True)
        if stays is not None:
            print(f"The page stays until Ctrl-C: {stays.address}", flush=True)
            with suppress(KeyboardInterrupt):
                stays.wait()
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
    """What was reached, and what to do next; ``watcher``: the page that stays."""
    solved = result.evaluation.worst >= SOLVED
    run = shlex.quote(str(run_dir))
    following = [
        (f"proximax eval {run} --seed 1", "its score on other episodes"),
        (f"proximax video {run}", "how it plays; needs the video extra"),
        ("proximax train Pendulum-v1", "another environment; proximax presets lists what is tuned"),
    ]
    address = "proximax watch" if watcher is None else watcher.address
    needs = "; needs the watch extra" if watcher is None else ""
    following.insert(0, (address, f"the run in the browser; its button Play: play against it{needs}"))
    width = max(len(text) for text, _ in following)
    return "\n".join(
        [
            f"{'solved' if solved else 'not solved'} in {result.steps:,} steps and {result.wall_s:.1f} s",
            score_line(result.summary, result.config.seeds, result.config.eval_episodes),
            f"saved in {run_dir}",
            "next:",
            *(f"  {text:{width}}  # {words}" for text, words in following),
        ]
    )
