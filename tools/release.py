"""Build sdist and wheel into ``dist/``, twice, and try the wheel: ``make release``. Nothing is uploaded.

The last commit is built, in a folder of its own, with the tools of ``requirements/build.txt`` and the time of the
commit (SOURCE_DATE_EPOCH), so that the same commit gives the same bytes, where zlib is the same. The wheel must hold
the package and nothing else, and train and evaluate CartPole-v1 in an empty virtual environment outside the repository.
"""

import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Build twice, compare, check, try, and only then fill ``dist/``."""
    if dirty := output("git", "status", "--porcelain"):
        sys.exit(f"release: commit these changes first, or they would be missing:\n{dirty}")
    epoch = int(output("git", "log", "-1", "--format=%ct"))
    with tempfile.TemporaryDirectory(prefix="proximax-release-") as folder:
        work = Path(folder)
        python = environment(work / "build-tools", "-r", str(ROOT / "requirements" / "build.txt"))
        first, second = (build(python, work / name, epoch) for name in ("first", "second"))
        if first != second:
            sys.exit("release: two builds of the same commit differ: " + ", ".join(sorted(differing(first, second))))
        version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
        check_names(first, version)
        wheel = next(name for name in first if name.endswith(".whl"))
        check_wheel(first[wheel], tracked("proximax"))
        (work / wheel).write_bytes(first[wheel])
        try_wheel(work, work / wheel, version)
    (ROOT / "dist").mkdir(exist_ok=True)
    for name, content in first.items():
        (ROOT / "dist" / name).write_bytes(content)
        print(f"{hashlib.sha256(content).hexdigest()}  dist/{name}")


def output(*command: str) -> str:
    """What a command prints, run in the repository."""
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def tracked(folder: str) -> set[str]:
    """The files of a folder in the last commit."""
    return set(output("git", "ls-tree", "-r", "--name-only", "HEAD", folder).splitlines())


def environment(folder: Path, *packages: str) -> Path:
    """The Python of a new virtual environment with these packages."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    clean_run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages, cwd=folder)
    return python


def clean_run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command without the caller's Python path; returns what it prints."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=cwd, env={**inherited, **variables}, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"release: exit code {done.returncode} of {' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def build(python: Path, folder: Path, epoch: int) -> dict[str, bytes]:
    """Sdist and wheel of the last commit, by file name."""
    source, built = folder / "source", folder / "dist"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(source, filter="data")
    clean_run(
        python, "-m", "build", "--no-isolation", "--outdir", built, source, cwd=folder, SOURCE_DATE_EPOCH=str(epoch)
    )
    files = {path.name: path.read_bytes() for path in sorted(built.iterdir())}
    return {name: repacked(content, epoch) if name.endswith(".tar.gz") else content for name, content in files.items()}


def repacked(sdist: bytes, epoch: int) -> bytes:
    """The same sdist with the time of the commit and no owner: setuptools writes the hour and the user into it."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(sdist)) as old:
        members = sorted(old.getmembers(), key=lambda member: member.name)
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as new:
            for member in members:
                member.mtime, member.uid, member.gid, member.uname, member.gname = epoch, 0, 0, "", ""
                member.mode = 0o755 if member.isdir() else 0o644
                member.pax_headers = {}
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return gzip.compress(packed.getvalue(), mtime=epoch)


def differing(first: dict[str, bytes], second: dict[str, bytes]) -> set[str]:
    """Names of the files that are not the same in both."""
    return {name for name in {*first, *second} if first.get(name) != second.get(name)}


def check_names(files: dict[str, bytes], version: str) -> None:
    """One sdist and one pure wheel, of the version that pyproject.toml says."""
    expected = {f"proximax-{version}.tar.gz", f"proximax-{version}-py3-none-any.whl"}
    if set(files) != expected:
        sys.exit(f"release: built {sorted(files)} instead of {sorted(expected)}")


def check_wheel(wheel: bytes, package: set[str]) -> None:
    """The wheel holds the files of ``package`` and no others, besides metadata with the licence and the command."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        names = set(archive.namelist())
        metadata = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        commands = archive.read(f"{metadata}/entry_points.txt").decode()
    content = {name for name in names if not name.startswith(f"{metadata}/")}
    if content != package or "proximax/py.typed" not in content:
        sys.exit(f"release: the wheel lacks {sorted(package - content)}, has beyond that {sorted(content - package)}")
    if f"{metadata}/licenses/LICENSE" not in names or "proximax = proximax.cli:main" not in commands:
        sys.exit(f"release: the wheel's metadata lack the licence or the command: {sorted(names - content)}")


def try_wheel(work: Path, wheel: Path, version: str) -> None:
    """Install the wheel where nothing else is; train, evaluate and load there."""
    python = environment(work / "empty", str(wheel))
    if (said := clean_run(python.with_name("proximax"), "--version", cwd=work).strip()) != version:
        sys.exit(f"release: the installed command says that it is version {said}, not {version}")
    report = clean_run(python, ROOT / "tools" / "smoke.py", cwd=work)
    if str(work / "empty") not in report:
        sys.exit(f"release: tried another proximax than that of the wheel:\n{report}")
    print(report, end="")


if __name__ == "__main__":
    main()
