"""Policies that play in a page of their own, as one piece of HTML: no server, no other file, no wasm.

embedded_player([PlayedPolicy("CartPole-v1", "CartPole", "mean 500", weights), ...])  # the parts, for a report
player_page(...)                                                                     # a whole page
"""

import html
import json
import posixpath
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from proximax.envs import EnvId
from proximax.exporting import weights_json
from proximax.runs import load_agent, load_config
from proximax.web.policies import CANVASES, canvas_problem

ENTRY = "play/embedded.js"
STYLE = "play/play.css"
IMPORT = re.compile(r'^import \{ ([\w, ]+) \} from "([./\w]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (const|function|async function|class) (\w+)", re.MULTILINE)


class PlayedPolicy(NamedTuple):
    """A policy in a page: its environment, name, description and ``weights_json``."""

    env: str
    title: str
    about: str
    weights: dict[str, Any]


def played_policy(run_dir: str | Path, title: str, about: str = "") -> PlayedPolicy | None:
    """The policy of a run's last checkpoint (of its best seed); None where a page cannot play it.

    Raises ``CheckpointError`` for a run without a checkpoint, or whose custom network only its program has.
    """
    config = load_config(run_dir)
    if canvas_problem(config):
        return None
    weights = weights_json(load_agent(run_dir)[0])
    return None if weights is None else PlayedPolicy(EnvId.parse(config.env).name, title, about, weights)


class EmbeddedPlayer(NamedTuple):
    """The parts of a page in which policies play; all of them empty where there is none."""

    markup: str = ""  # HTML: the place, with the policies as JSON
    style: str = ""  # CSS
    script: str = ""  # JavaScript of ``<script type="module">``, after ``markup``


def embedded_player(policies: Sequence[PlayedPolicy]) -> EmbeddedPlayer:
    """What makes these policies play in a page, and whoever looks beside them."""
    known = [policy._asdict() for policy in policies if policy.env in CANVASES]
    if not known:
        return EmbeddedPlayer()
    values = json.dumps(known, allow_nan=False).replace("<", "\\u003c")
    place = f'<div class="play-root"><script type="application/json">{values}</script></div>'
    return EmbeddedPlayer(place, page_file(STYLE), bundle(ENTRY))


def player_page(policies: Sequence[PlayedPolicy], title: str, introduction: str) -> str:
    """A whole page with ``embedded_player``; the texts are text, but for what the introduction has in HTML."""
    player = embedded_player(policies)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{html.escape(title)}</title>
<link rel="icon" href="data:,">
<style>
{page_file("play/page.css")}{player.style}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
{introduction}
{player.markup}
</main>
<script type="module">
{player.script}
</script>
</body>
</html>
"""


def page_file(name: str) -> str:
    """One of the page's own files, as text."""
    return resources.files("proximax.web").joinpath("page").joinpath(name).read_text(encoding="utf-8")


def bundle(entry: str) -> str:
    """A module and all that it imports as one script: each module is a function that gives what it exports."""
    scripts: dict[str, str] = {}
    include(entry, scripts)
    return "\n".join(scripts.values())


def include(name: str, scripts: dict[str, str]) -> None:
    """Add a module to ``scripts``, by name, after those that it imports."""
    text = page_file(name)
    for _, source in IMPORT.findall(text):
        if (path := beside(name, source)) not in scripts:
            include(path, scripts)
    body = IMPORT.sub(lambda match: f"const {{ {match[1]} }} = {variable(beside(name, match[2]))};\n", text)
    names = ", ".join(exported for _, exported in EXPORT.findall(body))
    body = EXPORT.sub(r"\1 \2", body)
    if re.search(r"^(import|export)\b", body, re.MULTILINE):
        raise ValueError(f"{name} has an import or export of another form")
    scripts[name] = f"const {variable(name)} = (() => {{\n{body}return {{ {names} }};\n}})();"


def beside(name: str, source: str) -> str:
    """The module that ``name`` imports as ``source``."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), source))


def variable(name: str) -> str:
    """What a module is called in a bundle."""
    return f"module_{re.sub(r'[^a-z]', '_', name.removesuffix('.js'))}"
