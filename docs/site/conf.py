"""Sphinx's configuration. Not run by itself: docs/site/build.py stages the pages and calls Sphinx."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import formulas  # noqa: E402
import source_pages  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

project = author = html_title = "proximax"
html_short_title = "proximax"
copyright = "proximax contributors, Apache 2.0"
language = "en"
extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath"]
myst_dmath_allow_space = False
myst_dmath_double_inline = True
myst_heading_anchors = 4
myst_url_schemes = ["http", "https", "mailto", "source"]
nitpicky = True
smartquotes = False  # they would make one dash of the two of a flag

html_theme = "furo"
# STIX Two Math (Open Font License), which the package ziamath brings: few systems have a font with mathematics.
FONT = Path(str(find_spec("ziamath").origin)).parent / "fonts" / "STIXTwoMath-Regular.ttf"  # type: ignore[union-attr]
html_static_path = [str(HERE / "static"), str(FONT)]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_permalinks_icon = "#"
html_math_renderer = "mathml"
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#1f5fae", "color-brand-content": "#1f5fae"},
    "dark_css_variables": {"color-brand-primary": "#7db4f5", "color-brand-content": "#7db4f5"},
}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
proximax_sources = os.environ.get("PROXIMAX_SITE_SOURCES", "").split()


def setup(app: Sphinx) -> None:
    """Formulas as MathML, and pages of source files."""
    app.add_config_value("proximax_sources", [], "env")
    formulas.setup(app)
    source_pages.setup(app)
