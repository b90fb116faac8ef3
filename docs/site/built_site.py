"""Check the pages of a built site: links lead somewhere, and nothing is loaded from another site."""

import re
from functools import cache
from pathlib import Path
from urllib.parse import unquote

TAG = re.compile(r"<(a|link|script|img|iframe|source|video)\b([^>]*)>")
ADDRESS = re.compile(r"""\b(?:href|src|srcset)=(?:"([^"]*)"|'([^']*)')""")
LOADED_BY_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?(?:https?:)?//[^"')\s]+""")
NETWORKS = re.compile(r"""["'(](?:https?:)?//[\w.-]*(?:cdn|unpkg|googleapis|cloudflare)[\w./-]*""")


def problems_of(site: Path) -> list[str]:
    """What is wrong with a built site, one line each."""
    pages = sorted(site.rglob("*.html"))
    problems = [problem for page in pages for problem in page_problems(site, page)]
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.js")]):
        pattern = LOADED_BY_STYLE if path.suffix == ".css" else NETWORKS
        problems += [f"{path.relative_to(site)} loads {found}" for found in pattern.findall(path.read_text())]
    return problems


def page_problems(site: Path, page: Path) -> list[str]:
    """Links of a page that lead nowhere, and what it loads from elsewhere."""
    problems, name = [], page.relative_to(site)
    for tag, attributes in TAG.findall(page.read_text()):
        for address in (double or single for double, single in ADDRESS.findall(attributes)):
            if re.match(r"(https?:)?//", address):
                problems += [] if tag == "a" else [f"{name} loads {address}"]
            elif not re.match(r"[a-z]+:", address) and not leads_somewhere(page, address):
                problems.append(f"{name}: the link {address} leads nowhere")
    return problems


def leads_somewhere(page: Path, address: str) -> bool:
    """Whether a relative address is that of a file, with its anchor."""
    path, _, anchor = address.partition("#")
    path = unquote(path.partition("?")[0])
    target = (page.parent / path).resolve() if path else page
    return target.exists() and (not anchor or target.suffix != ".html" or unquote(anchor) in identifiers(target))


@cache
def identifiers(page: Path) -> set[str]:
    """The anchors of a page."""
    return {"", *re.findall(r"""\b(?:id|name)="([^"]+)\"""", page.read_text())}
