"""What installs, and the files around the code: bounds, version, extras and commands agree wherever they are named."""

import importlib.metadata
import re
import runpy
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import proximax
from proximax.runtime import proximax_version

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS = PROJECT["optional-dependencies"]
MAKEFILE = (ROOT / "Makefile").read_text()
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
# box2d needs a later Gymnasium than the rest; Ray and JAX physics are tested on demand, with the versions that are
# their bounds; the others hold box2d.
NOT_LOWEST = {"box2d", "brax", "playground", "ray", "trackio", "wandb", "all", "dev"}
# Ray: a download of 70 MB and as much again of pandas and pyarrow, which only who has a cluster needs.
# Brax and MuJoCo Playground: large, or not maintained; tested on demand.
NOT_IN_ALL = {"brax", "playground", "ray", "trackio", "wandb"}
# Bounds from above, each with a comment in pyproject.toml that says why.
UPPER_BOUNDS: set[str] = set()


def requirements(extras):
    """All requirements of the core and these extras, but for those on extras of proximax itself."""
    texts = [*PROJECT["dependencies"], *(text for extra in extras for text in EXTRAS[extra])]
    return [required for required in map(Requirement, texts) if required.name != "proximax"]


def pins(name):
    """{package: version} of a file in requirements/."""
    lines = [line for line in (ROOT / "requirements" / name).read_text().splitlines() if not line.startswith("#")]
    return {package.lower(): Version(version) for package, version in (line.split("==") for line in lines)}


def targets():
    """What `make` can make by name."""
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split()
    return {name for name in phony if re.search(rf"^{re.escape(name)}:", MAKEFILE, re.MULTILINE)}


def recipe(target):
    """The commands of a target, as with the default environment."""
    lines = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)[1].splitlines()
    return [line.strip().replace("$(BIN)", ".venv/bin") for line in lines]


def test_the_lowest_versions_are_the_lower_bounds():
    lowest = pins("lowest.txt")
    for required in requirements(set(EXTRAS) - NOT_LOWEST):
        bounds = [Version(part.version) for part in required.specifier if part.operator == ">="]
        if bounds:
            assert [lowest[required.name.lower()]] == bounds, required
        assert required.name.lower() in lowest, required


def test_every_dependency_has_a_lower_bound_and_none_an_upper_one_without_a_reason():
    bounded = {}
    for required in requirements(EXTRAS):
        bounded[required.name] = bounded.get(required.name, False) or any(
            part.operator == ">=" for part in required.specifier
        )
        upper = {part.operator for part in required.specifier} - {">="}
        assert not upper or required.name in UPPER_BOUNDS, required
    assert all(bounded.values()), bounded


def test_installed_versions_are_within_the_bounds():
    for required in requirements(EXTRAS):
        try:
            version = importlib.metadata.version(required.name)
        except importlib.metadata.PackageNotFoundError:
            continue
        assert required.specifier.contains(version, prereleases=True), required


def test_the_version_stands_in_pyproject_alone_and_the_citation_agrees():
    assert proximax_version() == PROJECT["version"] == CITATION["version"]
    for path in [*ROOT.glob("proximax/**/*.py"), *ROOT.glob("docs/**/*.md"), ROOT / "README.md"]:
        stated = rf'(__version__ *= *["\']|proximax[ -=]+v?){re.escape(PROJECT["version"])}\b'
        assert not re.search(stated, path.read_text()), path


def test_the_citation_has_what_the_format_requires_and_agrees_with_the_project():
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["title"].startswith("proximax")
    assert CITATION["message"]
    assert [author["name"] for author in CITATION["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["abstract"] == PROJECT["description"]
    assert CITATION["keywords"] == PROJECT["keywords"]


def test_all_has_every_extra_for_users_but_those_for_clusters():
    (everything,) = map(Requirement, EXTRAS["all"])
    assert everything.extras == set(EXTRAS) - {"all", "test", "dev"} - NOT_IN_ALL


def test_every_extra_that_is_named_exists():
    pages = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("proximax/**/*.py")]
    named = {
        (extra.strip(), path)
        for path in pages
        for group in re.findall(r'(?:install "?proximax|"proximax|"\.|\'\.)\[([a-z0-9, ]+)\]', path.read_text())
        for extra in group.split(",")
    }
    assert {extra for extra, path in named if path.name == "README.md"}
    assert not {(extra, path) for extra, path in named if extra not in EXTRAS}


def test_every_target_that_is_named_exists():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("tools/*.py")]
    named = {
        (target, path)
        for path in pages
        for target in re.findall(r"(?:^|`|; )make ([a-z][a-z-]+)", path.read_text(), re.MULTILINE)
    }
    assert {"dev", "test", "test-all", "check"} <= {target for target, path in named if path.name == "CONTRIBUTING.md"}
    assert not {(target, path) for target, path in named if target not in targets()}


def test_hooks_run_what_check_runs_and_fetch_nothing():
    assert [repo["repo"] for repo in HOOKS["repos"]] == ["local"]
    hooks = HOOKS["repos"][0]["hooks"]
    assert {hook["language"] for hook in hooks} == {"system"}
    assert not any(hook["pass_filenames"] for hook in hooks)
    assert re.search(r"^check: style types pages$", MAKEFILE, re.MULTILINE)
    assert [hook["entry"] for hook in hooks] == [*recipe("style"), *recipe("types")]


def test_the_workflow_runs_the_script_and_nothing_else():
    (job,) = WORKFLOW["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert {step["uses"].partition("@")[0] for step in job["steps"] if "uses" in step} == {
        "actions/checkout",
        "actions/setup-python",
    }
    lowest = PROJECT["requires-python"].removeprefix(">=")
    assert lowest in job["strategy"]["matrix"]["python"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wanted", "python"), [(["3.50"], "python3.98"), (["3.97", "3.97"], "python3.97"), (["3.99"], None)]
)
def test_a_lane_takes_the_latest_released_python_that_runs_and_says_so_or_names_the_remedy(
    wanted, python, tmp_path, monkeypatch, capsys
):
    answers = {"97": "echo 3 97 2 final", "98": "echo 3 98 0 final", "99": "echo 3 99 0 candidate", "100": "exit 127"}
    for minor, answer in answers.items():
        (tmp_path / f"python3.{minor}").write_text(f"#!/bin/sh\n{answer}\n")
        (tmp_path / f"python3.{minor}").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    main = runpy.run_path(str(ROOT / "tools" / "find_python.py"))["main"]
    assert main(*wanted) == (python is None)
    out, err = capsys.readouterr()
    assert out == (f"{tmp_path / python}\n" if python else "")
    assert (f"Python {python.removeprefix('python')}." if python else "`uv python install 3.99`") in err


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_tools_check_for_the_lowest_python(tool):
    major, minor = PROJECT["requires-python"].removeprefix(">=").split(".")
    target = PYPROJECT["tool"][tool]
    assert target.get("target-version") == f"py{major}{minor}" or target.get("python_version") == f"{major}.{minor}"


def test_every_package_is_found_by_setuptools_and_says_that_it_is_typed():
    assert PYPROJECT["tool"]["setuptools"]["packages"]["find"]["include"] == ["proximax*"]
    assert not {path.parent for path in ROOT.glob("proximax/**/*.py") if not path.with_name("__init__.py").exists()}
    assert Path(proximax.__file__).with_name("py.typed").exists()
    data = ["py.typed", "web/page/*", "web/page/play/*", "web/page/vendor/*", "reports/page/*.css", "zoo/*"]
    assert PYPROJECT["tool"]["setuptools"]["package-data"] == {"proximax": data}
