"""Reading notebooks: cells, solutions to exercises, whether the outputs are those of the code."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

SOLUTION = re.compile(r"<summary>Solution</summary>.*?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
UNANSWERED = re.compile(r"([\w, ]+) = None\b")
RECORD = "proximax_outputs_of"  # in the notebook's metadata: the digest of the code that gave its outputs

Cell = dict[str, Any]


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook of format 4."""
    return json.loads(path.read_text())


def source_of(cell: Cell) -> str:
    """The text of a cell, which the format keeps as one string or as lines."""
    return joined(cell["source"])


def joined(text: str | list[str]) -> str:
    """A text that the format may keep as lines."""
    return text if isinstance(text, str) else "".join(text)


def code_cells(notebook: dict[str, Any]) -> list[Cell]:
    """The cells that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def prose(notebook: dict[str, Any]) -> str:
    """The text of all other cells."""
    return "\n\n".join(source_of(cell) for cell in notebook["cells"] if cell["cell_type"] == "markdown")


def digest(notebook: dict[str, Any]) -> str:
    """Of the code of all cells: it changes with whatever could change an output."""
    return hashlib.sha256("\0".join(map(source_of, code_cells(notebook))).encode()).hexdigest()[:16]


def solve(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with each exercise, a line ``name = None``, answered by the solution that a later cell holds."""
    solutions: dict[str, str] = {}
    for code in SOLUTION.findall(prose(notebook)):
        solutions[code.partition("=")[0].strip()] = code.strip()
    cells = []
    for cell in notebook["cells"]:
        text = source_of(cell)
        if cell["cell_type"] == "code" and (name := UNANSWERED.match(text)):
            text = solutions.pop(name[1])
        cells.append({**cell, "source": text})
    if solutions:
        raise ValueError(f"solutions without an exercise: {', '.join(solutions)}")
    return {**notebook, "cells": cells}
