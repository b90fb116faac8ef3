"""Build the site from docs/ and benchmarks/: ``make docs``, or python docs/site/build.py [FOLDER]. Needs no network.

Fails at a broken link, an unknown reference, a page that no one can reach, and whatever the pages would load from
another site.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from built_site import problems_of
from sphinx.cmd.build import main as sphinx_build
from staging import Staging

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def main() -> int:
    """Build, check, and say where the first page is; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=ROOT / "site")
    folder, start = parser.parse_args().folder.resolve(), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        staging = Staging(ROOT, Path(temporary, "pages"))
        staging.write()
        if not staging.problems:
            code = build(staging, Path(temporary))
            if code:
                return code
            shutil.rmtree(folder, ignore_errors=True)
            shutil.move(Path(temporary, "html"), folder)
    problems = staging.problems or problems_of(folder)
    seconds = time.monotonic() - start
    done = f"docs: {len(staging.pages)} pages in {folder}, {seconds:.0f} s; open {folder / 'index.html'}"
    print("\n".join(problems) or done)
    return int(bool(problems))


def build(staging: Staging, temporary: Path) -> int:
    """Run Sphinx; every warning is an error."""
    os.environ["PROXIMAX_SITE_SOURCES"] = " ".join(sorted(staging.sources))
    options = ["-b", "html", "-q", "-W", "--keep-going", "-j", "auto", "-c", str(HERE), "-d", str(temporary / "trees")]
    return sphinx_build([*options, str(staging.folder), str(temporary / "html")])


if __name__ == "__main__":
    sys.exit(main())
