"""The command line as a user meets it: in this process, or ``proximax`` in a process of its own."""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from proximax.cli import main
from tests.support import ROOT

# A process that has imported everything and is copied for each command: importing anew would take most of the time.
# It forks before JAX has started anything. A copy ends as ``python -m proximax.cli`` ends, its exit handlers included.
STARTER = """
import json, os, runpy, sys
import proximax.cli
for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if not child:
        break
    print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])), flush=True)
else:
    os._exit(0)
os.chdir(order["cwd"])
for number, name in enumerate(order["files"]):
    os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
sys.argv = ["proximax", *order["arguments"]]
sys.modules.update(dict.fromkeys(order["missing"]))
runpy.run_module("proximax.cli", run_name="__main__")
"""


PIPES: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str

    def fault(self, code: int, *parts: str) -> None:
        """Assert that it ended with this code and one message, which has these parts."""
        assert self.code == code, self.err
        errors = [line for line in self.err.splitlines() if "proximax: error" in line]
        assert len(errors) == 1, self.err
        assert errors[0].startswith(f"proximax: error[E{code}]: ")
        missing = [part for part in parts if part not in errors[0]]
        assert not missing, f"{missing} not in {errors[0]}"
        assert "Traceback" not in self.err
        assert "\x1b" not in self.err + self.out

    def fine(self, *parts: str) -> None:
        """Assert that it ended well, with these parts in what it said."""
        assert self.code == 0, self.err
        missing = [part for part in parts if part not in self.out + self.err]
        assert not missing, f"{missing} not in {self.out}{self.err}"


def environment(*paths: Path) -> dict[str, str]:
    """Environment variables of a process that finds modules in ``paths``."""
    known = os.pathsep.join([*map(str, paths), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    cache = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0"}
    return {**os.environ, "PYTHONPATH": known, "JAX_PLATFORMS": "cpu", **cache}


def python(script: str, cwd: Path, *arguments: str) -> Ran:
    """A script that uses proximax."""
    line = [sys.executable, "-c", script, *arguments]
    return finish(subprocess.Popen(line, cwd=cwd, env=environment(cwd), text=True, **PIPES))


def start(arguments: str, cwd: Path, before: tuple[str, ...] = (), **settings: Any) -> "subprocess.Popen[str]":
    """A command under way; ``before``: what starts it, as in ``mpirun -n 2``."""
    line = [*before, sys.executable, "-m", "proximax.cli", *arguments.split()]
    return subprocess.Popen(line, cwd=cwd, env=environment(cwd), text=True, **{**PIPES, **settings})


def finish(process: "subprocess.Popen[str]", seconds: float = 120.0) -> Ran:
    """Wait for it."""
    out, err = process.communicate(timeout=seconds)
    return Ran(process.returncode, out, err)


def run_command(arguments: str | list[str]) -> Ran:
    """A command in this process, in its working directory; the package ``faulty`` is imported anew."""
    sys.modules.pop("faulty", None)
    line = arguments.split() if isinstance(arguments, str) else arguments
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            code = main(line)
        except SystemExit as end:  # of the parser
            code = end.code if isinstance(end.code, int) else 1
    return Ran(code, out.getvalue(), err.getvalue())


class Shell:
    """Starts commands in a folder, each in a process of its own."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._starter = subprocess.Popen([sys.executable, "-c", STARTER], env=environment(cwd), **pipes)

    def __call__(self, arguments: str | list[str], cwd: Path | None = None, missing: tuple[str, ...] = ()) -> Ran:
        """Run a command; ``missing`` packages are as if not installed."""
        with tempfile.TemporaryDirectory() as folder:
            files = [os.devnull, f"{folder}/out", f"{folder}/err"]
            line = arguments.split() if isinstance(arguments, str) else arguments
            order = {"cwd": str(cwd or self.cwd), "files": files, "arguments": line, "missing": missing}
            assert self._starter.stdin
            assert self._starter.stdout
            self._starter.stdin.write(json.dumps(order) + "\n")
            self._starter.stdin.flush()
            code = json.loads(self._starter.stdout.readline())
            return Ran(code, *(Path(name).read_text(errors="replace") for name in files[1:]))

    def close(self) -> None:
        """End the process that starts others."""
        self._starter.communicate()


def contents(folder: Path) -> dict[str, str]:
    """The checksum of each file below a folder; where a link leads to."""
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return {str(path.relative_to(folder)): read(path) for path in paths if path.name not in (".lock", ".probe")}


def read(path: Path) -> str:
    """The checksum of a file; where a link leads to."""
    return f"-> {os.readlink(path)}" if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest()
