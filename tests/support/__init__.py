"""What several tests share: toy environments, processes of the command line, saved runs, hypothesis strategies."""

from pathlib import Path

ROOT = Path(__file__).parents[2]  # of the repository
