"""The documentation's site: every page has a place, links lead somewhere, nothing is loaded from elsewhere."""

import sys

import pytest

from tests.support import ROOT

sys.path.insert(0, str(ROOT / "docs" / "site"))
from built_site import problems_of
from diagrams import layered
from navigation import contents, pages, place_of
from staging import Staging


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    staging = Staging(ROOT, tmp_path_factory.mktemp("site"))
    staging.write()
    return staging


def test_every_page_is_in_the_navigation_once():
    listed = pages()
    assert len(listed) == len(set(listed)) == len(set(map(place_of, listed)))
    written = {
        str(page.relative_to(ROOT))
        for pattern in ("docs/**/*.md", "docs/**/*.ipynb", "benchmarks/**/*.md")
        for page in ROOT.glob(pattern)
    }
    assert written == {page for page in listed if page.startswith(("docs/", "benchmarks/"))}
    assert all(place_of(page) in contents() for page in listed if page != "docs/index.md")


def test_links_lead_to_pages_sources_and_images_of_the_site(staged):
    assert staged.problems == []
    text = (staged.folder / "guides" / "speed.md").read_text()
    assert "(../benchmarks/speed/speed.md)" in text  # ../../benchmarks/... in the repository
    assert "(source:proximax/networks/dense.py)" in text
    assert "proximax/networks/dense.py" in staged.sources
    first = (staged.folder / "index.md").read_text()
    assert "(benchmarks/results/speed/speed.png)" in first
    assert (staged.folder / "benchmarks" / "results" / "speed" / "speed.png").exists()


def test_code_and_anchors_are_left_as_they_are(tmp_path):
    staging = Staging(ROOT, tmp_path)
    link = "[x](../guides/runs.md#videos)"
    (prose,) = staging._parts("docs/algorithms/npg.md", f"`{link}` {link}\n")
    assert prose == f"`{link}` {link}\n"  # both are folders of the site, too
    *_, code, _ = staging._parts("docs/index.md", f"```python\n{link}\n```\n[y](nowhere.md)\n")
    assert code == f"```python\n{link}\n```"
    assert staging.problems == ["docs/index.md: the link nowhere.md leads nowhere"]


def test_a_diagram_has_what_is_imported_below_what_imports_it():
    layers, chains = layered([("a", "b"), ("b", "c"), ("a", "c")])
    assert layers == [["a"], ["b", "a>c@1"], ["c"]]
    assert chains == [["a", "b"], ["b", "c"], ["a", "a>c@1", "c"]]


def test_a_built_page_loads_nothing_from_elsewhere_and_has_no_broken_link(tmp_path):
    (tmp_path / "other.html").write_text('<h1 id="there">x</h1>')
    (tmp_path / "style.css").write_text("@import url(https://fonts.example/font.css);")
    (tmp_path / "page.html").write_text(
        '<a href="other.html#there">good</a><a href="https://example.org">elsewhere</a><a href="#nothing">bad</a>'
        '<a href="missing.html">bad</a><script src="https://example.org/x.js"></script><img src="//example.org/x.png">'
    )
    assert problems_of(tmp_path) == [
        "page.html: the link #nothing leads nowhere",
        "page.html: the link missing.html leads nowhere",
        "page.html loads https://example.org/x.js",
        "page.html loads //example.org/x.png",
        "style.css loads url(https://fonts.example/font.css",
    ]
