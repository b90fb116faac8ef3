"""What it costs to watch a run, to log it, to evaluate it: CartPole-v1 trained with and without.

python benchmarks/speed/watch_overhead.py                 watch: 6 pairs, 5 minutes on 2 cores
python benchmarks/speed/watch_overhead.py --of log        TensorBoard and csv; or evaluate: 10 episodes, 20 times
python benchmarks/speed/watch_overhead.py --pairs 2 --steps 20000

Each training is a process of its own, in turn with and without, so that what disturbs the machine disturbs both. While
one is watched, this process asks as often as the page does, for all that it shows. What is timed is the call of
``proximax.train``, with the programs compiled before: the start of the page's process is in it. Printed: the ratio of
the two times of each pair, their median with a 95 % interval (bootstrap), and whether all trained the same
parameters to the bit. Exit code 1 where they did not.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

import numpy as np

METRICS = ("kl", "clip_fraction", "explained_variance", "entropy", "value_loss", "steps_per_s")
PAUSE_S = 1.0  # between two looks of the page at a run that trains
TRAIN = """
import hashlib, json, sys, time
import jax, numpy as np
import proximax
steps, out, settings = int(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
began = time.perf_counter()
result = proximax.train("CartPole-v1", steps=steps, out=out, quiet=True, **settings)
wall_s = time.perf_counter() - began
arrays = [np.asarray(x) for agent in result.agents for x in jax.tree.leaves(agent.params)]
digest = hashlib.sha256(b"".join(x.tobytes() for x in arrays)).hexdigest()
print(json.dumps({"wall_s": wall_s, "digest": digest}))
"""


# What is measured: the settings of the training with it; without it there is nothing but metrics.jsonl.
MEASURED: dict[str, Any] = {"watch": {"watch": True}, "log": {"log": ["tensorboard", "csv"]}, "evaluate": {}}
EVALUATIONS = 20


class Viewer:
    """Asks a server as the page does, until it is gone."""

    def __init__(self) -> None:
        self.looks = 0
        self._tags: dict[str, str] = {}

    def look(self, address: str) -> None:
        """Look on, once a second."""
        while True:
            try:
                runs = json.loads(self._get(f"{address}api/runs") or b'{"runs": []}')["runs"]
                self._ask(address, [run["id"] for run in runs])
            except (urllib.error.URLError, OSError):
                return
            self.looks += 1
            time.sleep(PAUSE_S)

    def _ask(self, address: str, ids: list[str]) -> None:
        for metrics, width in ((("return_last_100",), 1060), (METRICS, 360)):
            query = urllib.parse.urlencode({"run": ids, "metric": metrics, "width": width}, doseq=True)
            self._get(f"{address}api/curves?{query}")
        for run_id in ids:
            self._get(f"{address}api/runs/{run_id}")

    def _get(self, address: str) -> bytes:
        request = urllib.request.Request(address, headers={"If-None-Match": self._tags.get(address, "")})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                self._tags[address] = answer.headers.get("ETag", "")
                body: bytes = answer.read()
                return body
        except urllib.error.HTTPError as error:
            if error.code == 304:
                return b""
            raise


def train(steps: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Train once, in a process of its own: the time that it took, and the parameters' hash."""
    viewer = Viewer()
    with tempfile.TemporaryDirectory(prefix="proximax-watch-") as folder:
        line = [sys.executable, "-c", TRAIN, str(steps), f"{folder}/run", json.dumps({"log": []} | settings)]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout
        assert process.stderr
        said = []
        for text in process.stderr:  # the address is on its first line
            said.append(text)
            if address := re.search(r"watch at (\S+)", text):
                threading.Thread(target=viewer.look, args=(address[1],), daemon=True).start()
        out = process.stdout.read()
        if process.wait():
            sys.exit("".join(said))
    return {**json.loads(out.splitlines()[-1]), "looks": viewer.looks}


def interval(ratios: np.ndarray) -> tuple[float, float, float]:
    """The median between the ends of its 95 % interval, by medians of samples drawn with replacement."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(np.median(ratios)), float(high)


def main() -> int:
    """Measure; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--of", choices=list(MEASURED), default="watch")
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--steps", type=int, default=300_000)
    options = parser.parse_args()
    settings = MEASURED[options.of]
    if options.of == "evaluate":
        settings = {"eval_every": options.steps // EVALUATIONS, "eval_episodes": 10}
    train(options.steps, settings)  # compiles
    ratios, digests = [], set[str]()
    for pair in range(options.pairs):
        order = (False, True) if pair % 2 == 0 else (True, False)
        ran = {with_it: train(options.steps, settings if with_it else {}) for with_it in order}
        ratios.append(ran[True]["wall_s"] / ran[False]["wall_s"])
        digests |= {one["digest"] for one in ran.values()}
        without, with_it, looks = ran[False]["wall_s"], ran[True]["wall_s"], ran[True]["looks"]
        seen = f", {looks} looks" if looks else ""
        print(f"without {without:6.2f} s   with {with_it:6.2f} s{seen}   ratio {ratios[-1]:.4f}", flush=True)
    low, median, high = (100 * (x - 1) for x in interval(np.array(ratios)))
    print(f"{options.of}: takes {median:+.1f} % (95 % {low:+.1f} to {high:+.1f})")
    print(f"parameters: {'the same to the bit' if len(digests) == 1 else 'DIFFERENT'} ({min(digests)[:16]})")
    return int(len(digests) > 1)


if __name__ == "__main__":
    sys.exit(main())
