"""Preprocessing of Atari games: one record of the options on which published results differ."""

from dataclasses import dataclass, fields

from proximax.config.validation import Rule, bool_problem, check_names, make_plain, range_problem
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
    """Grayscale (luminance) instead of colour. Source: Mnih et al. 2015."""
    height: int = 84
    """Pixel rows of a frame, scaled from 210 by area. Source: Mnih et al. 2015."""
    width: int = 84
    """Pixel columns of a frame, scaled from 160."""
    stack: int = 4
    """Number of frames that an observation stacks. Source: Mnih et al. 2015."""
    noop_max: int = 30
    """Upper limit of the random number of no-ops at the start of a game. Source: Mnih et al. 2015."""
    fire_on_reset: bool = True
    """Press fire once at the start of games that wait for it. Source: OpenAI Baselines, FireResetEnv."""
    sticky_actions: float = 0.0
    """Probability that the emulator repeats the last action instead. Source of 0: published PPO results."""
    full_action_space: bool = False
    """All 18 actions instead of those that do something in the game."""
    actions: tuple[int, ...] | None = None
    """Which of the game's actions the policy has, by their numbers; None: all."""
    episodic_life: bool = True
    """A lost life ends the learner's episode, not the game. Source: Mnih et al. 2015."""
    clip_reward: bool = True
    """Clip rewards to their sign for learning. Source: Mnih et al. 2015."""
    frame_cap: int = 108_000
    """A game is truncated after this many emulator frames, 30 minutes. Source: Machado et al. 2018."""

    def __str__(self) -> str:
        """One line."""
        parts = [
            f"{self.frame_skip} a step" + (", maximum of the last two" if self.max_of_two else ""),
            f"{'gray' if self.grayscale else 'colour'} {self.height} x {self.width}, {self.stack} stacked",
            f"up to {self.noop_max} no-ops" + (", then fire" if self.fire_on_reset else ""),
            f"sticky actions {self.sticky_actions:g}",
            f"a lost life {'ends' if self.episodic_life else 'does not end'} the learner's episode",
            "rewards clipped to their sign" if self.clip_reward else "rewards",
            f"games of {self.frame_cap:,} frames at most",
        ]
        return "; ".join(parts)

    def __post_init__(self) -> None:
        make_plain(self)

    def problems(self) -> list[str]:
        """What is wrong with these settings, a sentence each."""
        problems = [range_problem(f"atari.{name}", getattr(self, name), rule) for name, rule in _RANGES.items()]
        problems += [bool_problem(f"atari.{f.name}", getattr(self, f.name)) for f in fields(self) if f.type is bool]
        if self.frame_skip == 1 and self.max_of_two is True:
            problems.append("atari.max_of_two = True: with frame_skip = 1 there is one frame a step; set it False")
        if self.actions is not None:
            valid = isinstance(self.actions, tuple) and all(Rule(0, integer=True).allows(a) for a in self.actions)
            if not valid or len(set(self.actions)) != len(self.actions) or len(self.actions) < 2:
                problems.append(f"atari.actions = {self.actions}: give two or more different action numbers, or None")
        return [problem for problem in problems if problem]


MAX_COUNT = 10**9  # the emulators count in 32 bits
_RANGES = {
    "frame_skip": Rule(1, MAX_COUNT, integer=True),
    "height": Rule(8, 210, integer=True),
    "width": Rule(8, 160, integer=True),
    "stack": Rule(1, MAX_COUNT, integer=True),
    "noop_max": Rule(0, MAX_COUNT, integer=True),
    "sticky_actions": Rule(0, 1),
    "frame_cap": Rule(1, MAX_COUNT, integer=True),
}


def atari_from_json(values: object) -> AtariConfig | None:
    """The record that a config.json holds."""
    if values is None:
        return None
    if not isinstance(values, dict):
        raise UsageError("atari in a config must be an object of settings")
    check_names(values, AtariConfig)
    actions = values.get("actions")
    return AtariConfig(**{**values, "actions": tuple(actions) if isinstance(actions, list) else actions})
