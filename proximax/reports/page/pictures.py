"""The figures of a page: drawn with Matplotlib, shown as SVG, with legends in HTML that wrap as the page does."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from proximax.reports.diagnostics import draw_panel, has_bands
from proximax.reports.figures import InPage, drawing, save
from proximax.reports.page.inline_figures import StyleSheet, figure
from proximax.reports.page.markup import Markup, join, tag
from proximax.reports.plots import Styles, draw_curves

IN_A_ROW = 4  # labels of a legend; more are in columns
DASHES = {"-": "none", "--": "7 4", ":": "2 3", "-.": "8 3 2 3"}


class Pictures:
    """Draws the figures of one page, and has the styles of all of them."""

    def __init__(self) -> None:
        self.styles = StyleSheet()
        self._count = 0

    def figure(self, draw: Callable[[InPage], None], description: str, caption: object = "") -> Markup:
        """What ``draw`` draws; ``description``: for those who cannot see it."""
        self._count += 1
        draw(drawn := InPage())
        return figure(drawn, f"figure{self._count}", description, self.styles, caption)

    def legend(self, styles: Styles, labels: Iterable[str]) -> Markup:
        """The line of each label."""
        items = [tag("li", self._swatch(*styles[label]), label) for label in dict.fromkeys(labels)]
        return tag("ul", join(items), class_="legend many" if len(items) > IN_A_ROW else "legend")

    def _swatch(self, colour: str, line: str) -> Markup:
        style = f"stroke: {colour.lower()}; stroke-width: 3; stroke-dasharray: {DASHES[line]}"
        stroke = tag("line", x1=0, y1=5, x2=30, y2=5, class_=self.styles.name_of(style))
        return tag("svg", stroke, viewBox="0 0 30 10", class_="swatch", aria_hidden="true")


def draw_curve_panel(
    curves: Sequence[dict[str, Any]], env: str, size: tuple[float, float], styles: Styles, target: InPage
) -> None:
    """The learning curves of one environment, without a legend."""
    with drawing(*size) as figure:
        axis = figure.subplots()
        draw_curves(axis, env, [curve for curve in curves if curve["env"] == env], styles, "IQM", has_bands(curves))
        axis.set_ylabel("return, latest 100 episodes")
        save(figure, [target])


def draw_diagnostic_panel(runs: Sequence[dict[str, Any]], env: str, name: str, styles: Styles, target: InPage) -> None:
    """One panel of the diagnostics of an environment, without a legend."""
    with drawing(3.7, 2.7) as figure:
        draw_panel(figure.subplots(), name, [run for run in runs if run["env"] == env], styles, has_bands(runs))
        save(figure, [target])
