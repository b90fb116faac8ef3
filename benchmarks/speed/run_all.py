"""Every speed measurement, one after the other, then the page and the picture. Run nothing else meanwhile.

python benchmarks/speed/run_all.py --purejaxrl FOLDER [--cleanrl FOLDER] [--peers FOLDER]

The folders hold the published repositories (github.com/luchris429/purejaxrl, github.com/vwxyzjn/cleanrl); without them
these peers are left out. Every option goes to each script; see ``cartpole_solved.py --help``.
"""

import subprocess
import sys
from pathlib import Path

from measure import RESULTS, arguments

HERE = Path(__file__).parent
CLAIMS = (
    *("cartpole_solved", "half_cheetah", "half_cheetah_million", "gymnax_cartpole", "seeds", "matmul_share"),
    *("double_buffering", "pong_pixels", "recurrent"),
)


def main() -> None:
    options = arguments(__doc__, steps=0)
    for claim in CLAIMS:
        print(f"--- {claim}", flush=True)
        subprocess.run([sys.executable, str(HERE / f"{claim}.py"), *sys.argv[1:]], check=True)
    folder = [] if options.out == RESULTS else [str(options.out)]
    subprocess.run([sys.executable, str(HERE / "report.py"), *folder], check=True)


if __name__ == "__main__":
    main()
