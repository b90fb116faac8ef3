"""The peers' virtual environments: made with ``python -m venv`` and pip where they are not there yet.

python benchmarks/speed/peers.py [--peers DIR]        makes them all
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".peers"
# What pip installs for each.
PEERS = {
    "sb3": ["stable-baselines3", "gymnasium[mujoco]", "ale-py", "opencv-python-headless"],
    "sb3-contrib": ["sb3-contrib", "gymnasium"],
    "sbx": ["sbx-rl", "gymnasium[mujoco]"],
    "rllib": ["ray[rllib]==2.60.*", "gymnasium[classic-control]", "torch"],
    # Rejax 0.1.3 unpacks five values of a gymnax step; gymnax 1 gives six. PureJaxRL's scripts run here too.
    "rejax": ["rejax==0.1.3", "gymnax<1"],
    # As CleanRL's pyproject.toml says, but for Python 3.11.
    "cleanrl": ["gymnasium[mujoco]==0.29.1", "mujoco<3", "imageio<3", "numpy<2", "torch", "tensorboard", "tyro"],
}


def python_of(peer: str, folder: Path) -> Path:
    """The interpreter of ``peer``'s virtual environment in ``folder``."""
    home = folder / peer
    python = home / "bin" / "python"
    if not python.exists():
        print(f"making the virtual environment of {peer} ...", flush=True)
        try:
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        except BaseException:
            shutil.rmtree(home, ignore_errors=True)
            raise
    return python.absolute()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", type=Path, default=FOLDER, help="folder of the virtual environments")
    folder = parser.parse_args().peers
    for peer in PEERS:
        python_of(peer, folder)


if __name__ == "__main__":
    main()
