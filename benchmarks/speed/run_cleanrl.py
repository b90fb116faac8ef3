"""CleanRL's published script, run as its users do: ``run_cleanrl.py SETTINGS``, in the peer's Python.

``folder`` says where it is, ``script`` which one. It prints its own overall steps per second after every update; the
times of those lines are the marks. It normalises observations and rewards in the environment, always.
"""

import io
import re
import runpy
import sys
import time

from driver import finish, pace, settings


class Marks(io.TextIOBase):
    """Standard output that notes when updates end and what episodes return."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.returns: list[float] = []

    def write(self, text: str) -> int:
        """Look at what is printed, and drop it."""
        if text.startswith("SPS:"):
            self.times.append(time.perf_counter())
        elif found := re.search(r"episodic_return=\[?([-+.\de]+)", text):
            self.returns.append(float(found[1]))
        return len(text)


def main() -> None:
    s = settings()
    rows = s["num_envs"] * s["num_steps"]
    values = {
        "env-id": s["env"],
        "seed": s["seed"],
        "total-timesteps": s["steps"],
        "num-envs": s["num_envs"],
        "num-steps": s["num_steps"],
        "num-minibatches": rows // s["minibatch_size"],
        "update-epochs": s["epochs"],
        "learning-rate": s["learning_rate"],
        "gamma": s["gamma"],
        "gae-lambda": s["lam"],
        "clip-coef": s["epsilon"],
        "ent-coef": s["entropy_coef"],
    }
    flags = [part for name, value in values.items() for part in (f"--{name}", str(value))]
    switches = ["--no-cuda", "--no-clip-vloss"] + ([] if s["anneal"] == "learning_rate" else ["--no-anneal-lr"])
    script = f"{s['folder']}/cleanrl/{s['script']}"
    sys.argv = [script, *flags, *switches]
    if s.get("threads"):
        import torch

        torch.set_num_threads(s["threads"])
    output, sys.stdout = sys.stdout, (marks := Marks())
    began = time.perf_counter()
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        sys.stdout = output
    recent = marks.returns[-100:]
    training_return = sum(recent) / len(recent) if recent else None
    speeds = pace([began, *marks.times], rows)
    finish(speeds | {"training_return": training_return}, "torch", "gymnasium", "mujoco", "numpy", script=script)


if __name__ == "__main__":
    main()
