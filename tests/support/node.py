"""The page's own modules in Node.js, without a browser, where it is installed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import proximax.web

PAGE = Path(proximax.web.__file__).with_name("page")


def node() -> str | None:
    """The path of Node.js; None where it is missing."""
    return shutil.which("node")


def run_module(folder: Path, script: str, question: Any) -> Any:
    """What a module prints as JSON that imports the page's modules as ``./page/...``; ``question``: its ``asked``."""
    program = node()
    assert program
    if not (folder / "page").exists():
        shutil.copytree(PAGE, folder / "page", ignore=shutil.ignore_patterns("vendor"))
        (folder / "package.json").write_text('{"type": "module"}')
    head = 'import { readFileSync } from "node:fs";\nconst asked = JSON.parse(readFileSync(0, "utf8"));\n'
    (folder / "script.js").write_text(head + script)
    ran = subprocess.run(
        [program, "script.js"], cwd=folder, input=json.dumps(question), capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
