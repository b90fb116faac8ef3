"""What a training run reached, and how ``result.json`` says it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from proximax.config import RunConfig
from proximax.envs import EnvId
from proximax.evaluation import Evaluation, Summary
from proximax.loggers import Rows
from proximax.policy import Agent
from proximax.runtime import finite_or_none, format_number, machine_facts, plural, proximax_version

# What does the work of other libraries' names for what training gives.
ELSEWHERE = {
    "model": "agent is the policy of the first seed, agents has all",
    "predict": "agent.act(obs)",
    "learn": "proximax.train(ENV, out=RUN, resume=True) continues a run",
}


@dataclass(frozen=True)
class Result:
    """What a training run reached."""

    config: RunConfig
    """All settings, resolved."""
    agents: list[Agent]
    """The policies, one per seed."""
    evaluation: Evaluation
    """The final evaluation's returns, ``[S, episodes]``."""
    history: Rows
    """The rows of metrics.jsonl."""
    steps: int
    """Environment steps of each seed (the most of any)."""
    wall_s: float
    """Seconds from the start of the run to the end of the final evaluation."""
    compile_s: float
    """Seconds of it spent tracing and compiling."""
    steps_per_s: float
    """Of all seeds together, compilation included."""
    stopped_by: str
    """``steps``, ``stop_at`` or ``callback``."""
    notes: list[str]
    """What the user should know about this run."""
    restarts: int = 0
    """How often a training environment that crashed was restarted."""
    directory: Path | None = None
    """The run directory; None: nothing was written."""

    if not TYPE_CHECKING:  # to a type checker it would be an attribute of any name

        def __getattr__(self, name: str) -> Any:
            """Only called for names that it has not."""
            answer = f": {ELSEWHERE[name]}" if name in ELSEWHERE else ""
            raise AttributeError(f"a Result has no attribute {name!r}{answer}")

    def __repr__(self) -> str:
        summary = self.summary
        interval = "" if summary.ci95 is None else f" (95 % {' to '.join(map(format_number, summary.ci95))})"
        reached = "n/a" if np.isnan(summary.mean) else f"{format_number(summary.mean)}{interval}"
        settings = f"{EnvId.parse(self.config.env).display}, {self.config.algo}, {plural(self.config.seeds, 'seed')}"
        place = "not saved" if self.directory is None else f"in {self.directory}"
        return f"Result({settings}, {self.steps:,} steps, mean return {reached}, {place})"

    @property
    def summary(self) -> Summary:
        """Mean, interquartile mean and the mean's 95 % interval over seeds, of each seed's mean evaluation return."""
        return self.evaluation.summary

    @property
    def agent(self) -> Agent:
        """The policy of the seed with the best final evaluation."""
        means = self.evaluation.returns.mean(axis=1)
        return self.agents[int(np.argmax(np.where(np.isnan(means), -np.inf, means)))]

    def save(self, path: str | Path) -> Path:
        """Write ``agent`` to one file, which ``proximax.load`` reads."""
        return self.agent.save(path)

    def to_json(self) -> dict[str, Any]:
        """The content of ``result.json``; a return is null where an episode never ended."""
        summary = self.summary
        return {
            "env": self.config.env,
            "algo": self.config.algo,
            "seeds": self.config.seeds,
            "steps": self.steps,
            "wall_s": round(self.wall_s, 3),
            "compile_s": round(self.compile_s, 3),
            "steps_per_s": round(self.steps_per_s, 1),
            "return_mean": finite_or_none(summary.mean),
            "return_iqm": finite_or_none(summary.iqm),
            "return_ci95": summary.ci95,
            "returns": [finite_or_none(x) for x in self.evaluation.returns.mean(axis=1)],
            "eval_episodes": self.config.eval_episodes,
            "stopped_by": self.stopped_by,
            "notes": self.notes,
            "restarts": self.restarts,
            "version": proximax_version(),
            "machine": machine_facts(),
        }
