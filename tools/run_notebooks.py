"""Run the notebooks of the documentation and keep what they show: ``make notebooks``, or with the names of some.

Each runs as in Jupyter, in a kernel and a folder of its own. Pictures are reduced to 256 colours. The digest of the
code goes into the metadata, so that a test notices code whose outputs are of an earlier version.
"""

import argparse
import base64
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "docs"))
from notebooks import RECORD, digest, read_notebook

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "docs").glob("**/*.ipynb"))
TIMEOUT = 1200  # seconds for a cell


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, default=NOTEBOOKS)
    for path in parser.parse_args().notebooks:
        notebook = read_notebook(path)
        done = execute(notebook)
        for cell in done["cells"]:
            tidy(cell)
        done["metadata"] = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            RECORD: digest(notebook),
        }
        nbformat.validate(done)
        path.write_text(nbformat.writes(done) + "\n")
        print(f"{path}: {path.stat().st_size:,} bytes")


def execute(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of all its cells. Raises ``nbclient.exceptions.CellExecutionError``."""
    copy = nbformat.reads(json.dumps(notebook), as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(copy, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": folder}})
        return client.execute()


def tidy(cell: dict[str, Any]) -> None:
    """Keep of a cell's outputs what a reader sees: no times, no warnings, no text beside a picture."""
    cell["metadata"] = {name: x for name, x in cell["metadata"].items() if name != "execution"}
    if cell["cell_type"] != "code":
        return
    cell["outputs"] = [x for x in cell["outputs"] if x.get("name") != "stderr"]
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            output["data"] = {"image/png": few_colours(data["image/png"])}
        elif "text/html" in data:
            output["data"] = {"text/html": data["text/html"]}
        output.pop("transient", None)


def few_colours(png: str) -> str:
    """The same picture with at most 256 colours: a third of the size, and no difference to the eye."""
    image = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    reduced = image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    data = io.BytesIO()
    reduced.save(data, "png", optimize=True)
    return base64.b64encode(data.getvalue()).decode()


if __name__ == "__main__":
    main()
