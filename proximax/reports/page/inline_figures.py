"""Figures within the page: SVG whose colours follow light and dark, and whose names do not clash.

The style attributes that Matplotlib writes become classes of the one style sheet of the page, since its policy
(``markup.document``) allows no other style.
"""

import re
from xml.etree import ElementTree

from proximax.reports.figures import COLOURS, InPage
from proximax.reports.page.markup import Markup, tag

# Colours of figures, and what they are on a dark page; those of data as light as is needed to be seen there.
INKS = {"#000000": ("#1a2230", "#e8ecf3"), "#444444": ("#556174", "#9aa7ba"), "#b0b0b0": ("#8b93a1", "#8b93a1")}
ON_DARK = {
    "reinforce": "#b3b3b3",
    "a2c": "#f0b429",
    "npg": "#7cc7f0",
    "trpo": "#2cc295",
    "surrogate": "#f07f3c",
    "penalty": "#dd9cc2",
    "clip": "#4aa3df",
}
SHADES = INKS | {COLOURS[name].lower(): (COLOURS[name].lower(), dark) for name, dark in ON_DARK.items()}
SMALLEST = 560  # pixels, to which a figure shrinks; a narrower window scrolls it
HEX = re.compile(r"#[0-9a-f]{6}\b")
NUMBER = re.compile(r"-?\d+\.\d{3,}")
FAMILY = re.compile(r"(font(?:-family)?:(?: [\d.]+px)?) '?DejaVu Sans'?[^;]*")
SPACE = re.compile(r"\s+")


def colour_rules() -> str:
    """The colours as custom properties."""
    return "".join(f"--ink-{key[1:]}: light-dark({light}, {dark}); " for key, (light, dark) in SHADES.items())


class StyleSheet:
    """Classes for the styles of figures, each once."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name_of(self, style: str) -> str:
        """The class of a style."""
        style = FAMILY.sub(r"\1 var(--sans)", SPACE.sub(" ", style.strip()))
        style = HEX.sub(lambda x: themed(x.group()), NUMBER.sub(shorter, style))
        return self._names.setdefault(style, f"f{len(self._names)}")

    def rules(self) -> str:
        """All of them."""
        return "\n".join(f".{name} {{ {style} }}" for style, name in self._names.items())


def themed(colour: str) -> str:
    """A colour that follows the page; one that is not of the figures as it is."""
    return f"var(--ink-{colour[1:]})" if colour in SHADES else colour


def shorter(number: re.Match[str]) -> str:
    """A number with two digits after the point, which are more than a screen shows."""
    return f"{float(number.group()):.2f}".rstrip("0").rstrip(".")


def figure(drawn: InPage, name: str, description: str, styles: StyleSheet, caption: object = "") -> Markup:
    """A drawn figure as HTML; ``name``: its own on the page."""
    root = ElementTree.fromstring(drawn.svg)
    for parent in root.iter():
        for child in [x for x in parent if bare(x.tag) in ("metadata", "style")]:
            parent.remove(child)
    used = {x[1:] for element in root.iter() for key, x in element.attrib.items() if bare(key) == "href"}
    used |= {x[5:-1] for element in root.iter() if (x := element.get("clip-path"))}
    for element in root.iter():
        clean(element, name, used, styles)
    width = float(root.attrib.pop("width").removesuffix("pt"))
    root.attrib.pop("height")
    pixels = round(width * 4 / 3)
    size = styles.name_of(f"width: {pixels}px; min-width: {min(pixels, SMALLEST)}px")
    root.attrib |= {"role": "img", "aria-label": description, "class": size}
    picture = Markup(ElementTree.tostring(root, encoding="unicode"))
    note = tag("figcaption", caption) if caption else ""
    return tag("figure", tag("div", picture, class_="scroll"), note)


def clean(element: ElementTree.Element, name: str, used: set[str], styles: StyleSheet) -> None:
    """An element of SVG as it is within HTML: no namespaces, ids that are ``used`` here, classes instead of styles."""
    element.tag = bare(element.tag)
    attributes = {bare(key): value for key, value in element.attrib.items() if bare(key) != "version"}
    if (own := attributes.pop("id", "")) in used:
        attributes["id"] = f"{name}-{own}"
    if "href" in attributes:
        attributes["href"] = f"#{name}-{attributes['href'].removeprefix('#')}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("url(#", f"url(#{name}-")
    if style := attributes.pop("style", ""):
        attributes["class"] = styles.name_of(style)
    for key in ("d", "points", "transform", "x", "y", "width", "height"):
        if key in attributes:
            attributes[key] = SPACE.sub(" ", NUMBER.sub(shorter, attributes[key])).strip()
    element.attrib.clear()
    element.attrib |= attributes
    element.text, element.tail = (x if x and x.strip() else None for x in (element.text, element.tail))


def bare(name: str) -> str:
    """A name without its namespace."""
    return name.rpartition("}")[2]
