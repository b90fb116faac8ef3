"""How figures look and how they are written: colours, sizes, formats.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every algorithm has a fixed one. Nothing of the
user's own Matplotlib settings is used or changed, and the same numbers give the same file.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proximax.config import shown
from proximax.errors import DependencyError, UsageError
from proximax.runtime import storing, write_atomically

if TYPE_CHECKING:  # optional
    from matplotlib.figure import Figure

FORMATS = ("png", "pdf", "svg")
DPI = 200  # of PNG files
COLOURS = {
    "reinforce": "#999999",
    "a2c": "#E69F00",
    "npg": "#56B4E9",
    "trpo": "#009E73",
    "surrogate": "#D55E00",
    "penalty": "#CC79A7",
    "clip": "#0072B2",
}
FALLBACK_COLOURS = [*reversed(COLOURS.values()), "#000000"]
LINES = ("-", "--", ":", "-.")  # where colours are used again
SETTINGS = {
    "svg.hashsalt": "proximax",  # else the names inside are random
    "pdf.fonttype": 42,  # TrueType, which journals ask for
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.25,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
# Without the time of writing.
METADATA: dict[str, dict[str, Any]] = {"png": {}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def require_matplotlib() -> Any:
    """``matplotlib``. Raises ``DependencyError`` with the line that installs it."""
    try:
        import matplotlib
    except ImportError as error:
        raise DependencyError('plots need matplotlib: pip install "proximax[plots]"') from error
    return matplotlib


@contextmanager
def drawing(width: float, height: float) -> Iterator["Figure"]:
    """A figure of so many inches, to draw on and to save within the block."""
    matplotlib = require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(SETTINGS)
        layout = ConstrainedLayoutEngine(wspace=0.05)  # labels at the ends of two axes do not touch
        yield Figure(figsize=(width, height), layout=layout)


def check_formats(formats: Sequence[str]) -> list[str]:
    """Formats of figures, as lower-case endings. Raises ``UsageError``."""
    listed = isinstance(formats, Sequence) and not isinstance(formats, str) and len(formats) > 0
    if not listed or not all(isinstance(x, str) and x.lower() in FORMATS for x in formats):
        raise UsageError(f"formats = {shown(formats)}: must be a list of {', '.join(FORMATS)}")
    return list(dict.fromkeys(x.lower() for x in formats))


class InPage:
    """Takes a figure instead of a file: as SVG for a web page, with its text as text, without a background."""

    def __init__(self) -> None:
        self.svg = b""


Target = Path | InPage


def save(figure: "Figure", targets: Sequence[Target]) -> None:
    """Write a figure in the format of each path's ending, each file whole or not at all. Raises ``StorageError``."""
    for target in targets:
        data = BytesIO()
        if isinstance(target, InPage):
            with require_matplotlib().rc_context({"svg.fonttype": "none"}):
                figure.savefig(data, format="svg", metadata=METADATA["svg"], transparent=True)
            target.svg = data.getvalue()
            continue
        form = target.suffix[1:].lower()
        figure.savefig(data, format=form, dpi=DPI, metadata=METADATA[form])
        with storing(target):
            write_atomically(target, data.getvalue())


def line_styles(runs: Sequence[dict[str, Any]]) -> dict[str, tuple[str, str]]:
    """(colour, line) of each label: its algorithm's, unless several labels share an algorithm."""
    algos = {run["label"]: run["algo"] for run in runs}
    if len(set(algos.values())) == len(algos) <= len(COLOURS) and set(algos.values()) <= COLOURS.keys():
        return {label: (COLOURS[algo], "-") for label, algo in algos.items()}
    n = len(FALLBACK_COLOURS)
    return {label: (FALLBACK_COLOURS[i % n], LINES[i // n % len(LINES)]) for i, label in enumerate(algos)}


def scale_of(last: float) -> tuple[float, str]:
    """(divisor, label) of an axis of so many steps."""
    if last >= 9e5:
        return 1e6, "environment steps (millions)"
    return (1e3, "environment steps (thousands)") if last >= 5000 else (1.0, "environment steps")
