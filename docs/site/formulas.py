"""LaTeX as MathML, which browsers show by themselves: no script, no font from elsewhere."""

import re

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator


def setup(app: Sphinx) -> None:
    """Register the renderer ``mathml``."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (display_formula, None))


def mathml(latex: str, display: str = "inline") -> str:
    """The formula as MathML. Names of functions get the space that LaTeX would put behind them."""
    return convert(re.sub(r"\\(log|exp|max|min)(?=\s*[\\A-Za-z])(?!\s*\\left)", r"\\\1\\,", latex), display=display)


def inline_formula(writer: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line of text."""
    writer.body.append(mathml(node.astext()))
    raise nodes.SkipNode


def display_formula(writer: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on lines of its own; a wide one scrolls by itself on a narrow screen."""
    writer.body.append(f'<div class="formula">{mathml(node.astext(), "block")}</div>\n')
    raise nodes.SkipNode
