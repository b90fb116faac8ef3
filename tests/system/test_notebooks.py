"""Every notebook runs in a kernel, its exercises accept their solutions, its saved outputs are those of its code."""

import base64
import json
import re
import sys

import pytest

from tests.support import ROOT

sys.path.insert(0, str(ROOT / "docs"))
sys.path.insert(0, str(ROOT / "docs" / "site"))
sys.path.insert(0, str(ROOT / "tools"))
from notebook_pages import NotebookPage
from notebooks import RECORD, UNANSWERED, code_cells, digest, joined, read_notebook, solve, source_of

NOTEBOOKS = {str(path.relative_to(ROOT / "docs")): read_notebook(path) for path in (ROOT / "docs").glob("**/*.ipynb")}
# What the cell tagged "parameters" holds instead: sizes at which a notebook takes seconds.
SMALL = {
    "quickstart.ipynb": "GOAL = 60",
    "course/2-reinforce.ipynb": "RATES, SEEDS, GAMES = jnp.array([0.1]), 2, 32",
    "course/4-clipping.ipynb": "ENGINES, T, STEPS, RATE, SEEDS, UPDATES = 4, 8, 2, 4.0, 2, 2",
    "course/5-pong.ipynb": "STEPS, GAMES, FRAME_CAP = 1024, 1, 400",
}


def printed(cell):
    """What a cell printed."""
    return "".join(joined(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream")


def exercises(notebook):
    return [cell for cell in code_cells(notebook) if UNANSWERED.match(source_of(cell))]


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    return NOTEBOOKS[request.param]


def test_the_outputs_are_of_the_code(notebook):
    assert notebook["metadata"][RECORD] == digest(notebook), "run: make notebooks"
    outputs = [output for cell in code_cells(notebook) for output in cell["outputs"]]
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]


def test_exercises_are_open_have_a_solution_and_are_checked_by_the_next_cell(notebook):
    cells = code_cells(notebook)
    assert not exercises(solve(notebook))
    for cell in exercises(notebook):
        following = cells[cells.index(cell) + 1]
        assert "check(" in source_of(following)
        assert printed(following).startswith("Not answered yet.")


def test_pictures_have_a_text_for_those_who_do_not_see_them(notebook):
    for cell in code_cells(notebook):
        if any("image/png" in output.get("data", {}) for output in cell["outputs"]):
            assert len(cell["metadata"]["alt"]) > 40


def test_the_first_cell_installs_what_is_missing_and_nothing_that_does_not_exist(notebook):
    first = source_of(code_cells(notebook)[0])
    (extras,) = re.findall(r'except ImportError:\n    %pip install --quiet "proximax\[([a-z,]+)\]"$', first)
    assert set(extras.split(",")) <= {"atari", "export", "plots", "video"}


@pytest.mark.process
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_its_solutions_are_right(name):
    pytest.importorskip("nbclient")
    from run_notebooks import execute

    solved = solve(NOTEBOOKS[name])
    for cell in solved["cells"]:
        if "parameters" in cell["metadata"].get("tags", []):
            cell["source"] = SMALL[name]
    text = "".join(printed(cell) for cell in code_cells(execute(solved)))
    assert text.count("Right.") == len(exercises(NOTEBOOKS[name]))
    assert "Not yet." not in text


PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


def made_up(*outputs):
    """A notebook with one code cell."""
    code = {"cell_type": "code", "source": ["1 +\n", "1"], "metadata": {"alt": "a dot"}, "outputs": list(outputs)}
    return {"cells": [{"cell_type": "markdown", "source": "# Title\ntext", "metadata": {}}, code], "metadata": {}}


def test_a_page_of_the_site_has_code_outputs_and_the_notebook_itself(tmp_path):
    picture = {"output_type": "display_data", "data": {"image/png": PIXEL, "text/plain": "<Figure>"}}
    video = {"output_type": "execute_result", "data": {"text/html": '<video src="data:video/mp4;base64,AAAA"></video>'}}
    stream = {"output_type": "stream", "name": "stdout", "text": ["2\n"]}
    source = tmp_path / "x.ipynb"
    source.write_text(json.dumps(made_up(stream, picture, video)))
    page = NotebookPage(source, tmp_path / "site" / "x.md", str.upper).text()
    assert page.startswith("# Title\n")
    assert "\nTEXT\n" in page
    assert "```python\n1 +\n1\n```" in page
    assert "```text\n2\n```" in page
    assert "![a dot](x-1.png)" in page
    assert 'title="a dot" src="data:video/mp4;base64,AAAA"' in page
    assert (tmp_path / "site" / "x-1.png").read_bytes() == base64.b64decode(PIXEL)
    assert (tmp_path / "site" / "x.ipynb").read_text() == source.read_text()


def test_a_solution_takes_the_place_of_its_exercise():
    notebook = made_up()
    notebook["cells"][1]["source"] = "answer = None  # a number"
    solution = "<details><summary>Solution</summary>\n\n```python\nanswer = 3\n```\n\n</details>"
    notebook["cells"].append({"cell_type": "markdown", "source": solution, "metadata": {}})
    assert source_of(code_cells(solve(notebook))[0]) == "answer = 3"
    notebook["cells"][1]["source"] = "other = 1"
    with pytest.raises(ValueError, match="without an exercise: answer"):
        solve(notebook)
