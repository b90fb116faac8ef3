"""Mermaid's flowcharts as SVG, without Mermaid: what imports from what, in layers."""

import re
from itertools import pairwise

WIDTH, HEIGHT, GAP, DROP = 96, 30, 22, 62  # of a box, between boxes, from layer to layer; pixels
Edge = tuple[str, str]


def flowchart(text: str) -> str:
    """A block of MyST with the diagram of lines ``a --> b``."""
    edges = re.findall(r"(\w+) --> (\w+)", text)
    layers, chains = layered(edges)
    order(layers, [pair for chain in chains for pair in pairwise(chain)])
    return f"```{{raw}} html\n{drawn(layers, chains)}\n```"


def layered(edges: list[Edge]) -> tuple[list[list[str]], list[list[str]]]:
    """(names in each layer, each edge as a chain with a waypoint ``a>b@layer`` in every layer that it crosses)."""
    names = {name for edge in edges for name in edge}
    level = dict.fromkeys(names, 0)
    for _ in names:
        level |= {a: max(level[a], 1 + max(level[b] for x, b in edges if x == a)) for a, _ in edges}
    top = max(level.values())
    layers: list[list[str]] = [sorted(n for n in names if level[n] == top - i) for i in range(top + 1)]
    chains = []
    for a, b in edges:
        between = [f"{a}>{b}@{i}" for i in range(top - level[a] + 1, top - level[b])]
        for i, waypoint in enumerate(between, top - level[a] + 1):
            layers[i].append(waypoint)
        chains.append([a, *between, b])
    return layers, chains


def order(layers: list[list[str]], edges: list[Edge]) -> None:
    """Sort each layer by the mean position of its neighbours, down and up several times, so that few edges cross."""
    for sweep in range(24):
        down = sweep % 2 == 0
        for i in range(1, len(layers)) if down else range(len(layers) - 2, -1, -1):
            fixed = {
                name: k / max(len(layers[i - 1 if down else i + 1]) - 1, 1)
                for k, name in enumerate(layers[i - 1 if down else i + 1])
            }
            own = {name: k / max(len(layers[i]) - 1, 1) for k, name in enumerate(layers[i])}
            near = {
                n: [fixed[b if a == n else a] for a, b in edges if n in (a, b) and (b if a == n else a) in fixed]
                for n in layers[i]
            }
            layers[i].sort(key=lambda n: sum(near[n]) / len(near[n]) if near[n] else own[n])


def drawn(layers: list[list[str]], chains: list[list[str]]) -> str:
    """The SVG: boxes, and a smooth line for each chain."""
    widths = [sum(size(name) + GAP for name in layer) - GAP for layer in layers]
    width, place = max(widths) + 8, {}
    for i, layer in enumerate(layers):
        x = (width - widths[i]) / 2
        for name in layer:
            place[name] = (x + size(name) / 2, 4 + i * DROP)
            x += size(name) + GAP
    lines = [f'<path d="{path([place[name] for name in chain])}"/>' for chain in chains]
    boxes = [
        f'<rect x="{x - WIDTH / 2:.0f}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x:.0f}" y="{y + HEIGHT / 2 + 5:.0f}">{name}</text>'
        for name, (x, y) in place.items()
        if "@" not in name
    ]
    height = (len(layers) - 1) * DROP + HEIGHT + 8
    size_of = f'viewBox="0 0 {width:.0f} {height}" width="{width:.0f}"'
    return f'<div class="diagram"><svg {size_of} role="img">{"".join(lines + boxes)}</svg></div>'


def size(name: str) -> int:
    """The width of a box, or of the space for a line that passes."""
    return 0 if "@" in name else WIDTH


def path(points: list[tuple[float, float]]) -> str:
    """A curve from the bottom of the first box through the waypoints to the top of the last."""
    (x, y), *rest = points
    text, y = f"M{x:.0f} {y + HEIGHT}", y + HEIGHT
    for i, (to_x, top) in enumerate(rest):
        to_y = top if i == len(rest) - 1 else top + HEIGHT / 2
        middle = (y + to_y) / 2
        text += f" C{x:.0f} {middle:.0f} {to_x:.0f} {middle:.0f} {to_x:.0f} {to_y:.0f}"
        x, y = to_x, to_y
    return text
