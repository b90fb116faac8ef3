"""How an Atari game is shown to the policy and played: one record of the options the field argues about."""

from dataclasses import dataclass, fields
from typing import Any

from proximax.config.validation import Rule, check_names, range_problem
from proximax.errors import UsageError


@dataclass(frozen=True)
class AtariConfig:
    """Preprocessing of an Atari game, after Machado et al. 2018 (arXiv 1709.06009), section 5.

    Defaults are those of published PPO results: Mnih et al. 2015 (Nature 518, methods) as in Huang et al. 2022, "The 37
    implementation details of PPO", Atari details 1 to 9. Machado et al. recommend sticky_actions = 0.25,
    full_action_space, and no episodic_life. The score is always the unclipped reward of whole games.
    """

    frame_skip: int = 4
    """Emulator frames per step; the action is repeated. Source: Mnih et al. 2015."""
    max_of_two: bool = True
    """An observation is the pixelwise maximum of its last two frames: sprites flicker. Source: Mnih et al. 2015."""
    grayscale: bool = True
    """Luminance instead of colours. Source: Mnih et al. 2015."""
    height: int = 84
    """Rows of a frame, scaled from 210 by area. Source: Mnih et al. 2015."""
    width: int = 84
    """Columns of a frame, scaled from 160."""
    stack: int = 4
    """Observations are the last so many frames. Source: Mnih et al. 2015."""
    noop_max: int = 30
    """A game begins with up to so many no-ops, drawn at random. Source: Mnih et al. 2015."""
    fire_on_reset: bool = True
    """Press fire once at the start of games that wait for it. Source: OpenAI Baselines, FireResetEnv."""
    sticky_actions: float = 0.0
    """Probability that the emulator repeats the last action instead. Source of 0: published PPO results."""
    full_action_space: bool = False
    """All 18 actions instead of those that do something in the game."""
    actions: tuple[int, ...] | None = None
    """The numbers of the game's actions that the policy has; None: all."""
    episodic_life: bool = True
    """A lost life ends the learner's episode, not the game. Source: Mnih et al. 2015."""
    clip_reward: bool = True
    """Learn from the sign of rewards. Source: Mnih et al. 2015."""
    frame_cap: int = 108_000
    """A game is cut after so many emulator frames, 30 minutes. Source: Machado et al. 2018."""

    def __str__(self) -> str:
        """In a line."""
        parts = [
            f"{self.frame_skip} a step{', maximum of the last two' * self.max_of_two}",
            f"{'gray' if self.grayscale else 'colour'} {self.height} x {self.width}, {self.stack} stacked",
            f"up to {self.noop_max} no-ops{', then fire' * self.fire_on_reset}",
            f"sticky actions {self.sticky_actions:g}",
            f"a lost life {'ends' if self.episodic_life else 'does not end'} the learner's episode",
            f"{'signs of ' * self.clip_reward}rewards, games of {self.frame_cap:,} frames at most",
        ]
        return "; ".join(parts)

    def faults(self) -> list[str]:
        """What is wrong with these settings, a sentence each."""
        found = [range_problem(f"atari.{name}", getattr(self, name), rule) for name, rule in _RANGES.items()]
        found += [
            f"atari.{f.name} = {getattr(self, f.name)!r}: must be True or False"
            for f in fields(self)
            if f.type is bool and not isinstance(getattr(self, f.name), bool)
        ]
        if self.frame_skip == 1 and self.max_of_two is True:
            found.append("atari.max_of_two = True: with frame_skip = 1 there is one frame a step; set it False")
        if self.actions is not None:
            whole = isinstance(self.actions, tuple) and all(Rule(0, whole=True).allows(a) for a in self.actions)
            if not whole or len(set(self.actions)) != len(self.actions) or len(self.actions) < 2:
                found.append(f"atari.actions = {self.actions}: give two or more different action numbers, or None")
        return [fault for fault in found if fault]


MOST = 10**9  # the emulators count in 32 bits
_RANGES = {
    "frame_skip": Rule(1, MOST, whole=True),
    "height": Rule(8, 210, whole=True),
    "width": Rule(8, 160, whole=True),
    "stack": Rule(1, MOST, whole=True),
    "noop_max": Rule(0, MOST, whole=True),
    "sticky_actions": Rule(0, 1),
    "frame_cap": Rule(1, MOST, whole=True),
}


def atari_from_json(values: Any) -> AtariConfig | None:
    """The record that a config.json holds."""
    if values is None:
        return None
    if not isinstance(values, dict):
        raise UsageError("atari in a config must be an object of settings")
    check_names(values, AtariConfig)
    actions = values.get("actions")
    return AtariConfig(**{**values, "actions": tuple(actions) if isinstance(actions, list) else actions})
