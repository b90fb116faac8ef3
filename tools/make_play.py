"""Make ``docs/play/index.html``, in which the zoo's policies play: ``make play``.

One file with everything in it: it opens from the disk and from any server. Each policy is its ONNX file's weights, with
which a few lines of JavaScript compute. ``tests/web/test_play_modules.py`` compares them with the file.
"""

from pathlib import Path

from proximax.exporting import zoo_card, zoo_names, zoo_weights
from proximax.web import CANVASES, PlayedPolicy, player_page

PAGE = Path(__file__).resolve().parent.parent / "docs" / "play" / "index.html"
TITLE = "Policies that play"
INTRODUCTION = """<p>Each was trained with <code>proximax train</code> and the preset of its environment. It plays here
in your browser, by its weights and a few lines of JavaScript; the dynamics are Gymnasium's, step for step. Take the
keyboard and play the same episode beside it.</p>
<p>This page is one file. It opens from the disk, or served by <code>python -m http.server</code> in its folder. To play
a policy of your own: <code>proximax watch</code>, and the button <em>Play</em> of a run.</p>"""


def main() -> None:
    """Write the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {PAGE.stat().st_size:,} bytes")


def page() -> str:
    """The page with the policies of the zoo whose environments it can draw."""
    drawn = [name for name in CANVASES if name in zoo_names()]
    return player_page([played(name) for name in drawn], TITLE, INTRODUCTION)


def played(name: str) -> PlayedPolicy:
    """One policy, with what its card says of it."""
    card = zoo_card(name)
    mean, low, high = (f"{x:.1f}".replace("-", "−") for x in (card["mean"], *card["ci95"]))
    about = f"{card['train']}: mean return {mean} of {card['episodes']:,} episodes (95 % {low} to {high})"
    return PlayedPolicy(name, name, about, zoo_weights(name))


if __name__ == "__main__":
    main()
