"""The section in which policies of the runs play, where a page has a canvas for their environment."""

import math
from collections.abc import Iterator
from itertools import islice

from proximax.errors import ProximaxError
from proximax.reports.page.contents import Contents, RunRecord
from proximax.reports.page.markup import Markup, Section, join, tag
from proximax.reports.run_groups import Group
from proximax.runtime import format_number, shorten
from proximax.web import EmbeddedPlayer, PlayedPolicy, embedded_player, played_policy

MOST = 6  # policies
LONGEST = 150_000  # characters of the weights of one
NOTE = "The policy of the best seed of a group's best run. Take the keyboard and play the same episode beside it."


def player_of(contents: Contents) -> EmbeddedPlayer:
    """What makes the policies of the first groups play; empty where none of them can."""
    return embedded_player(list(islice(playable_policies(contents), MOST)))


def playable_policies(contents: Contents) -> Iterator[PlayedPolicy]:
    """One policy of each group that has one."""
    for group in contents.groups:
        paths = {member.path for member, _ in group.members}
        for record in sorted((x for x in contents.records if x.member.path in paths), key=score_of, reverse=True):
            policy = policy_of(record, group, len(contents.envs) > 1)
            if policy is not None:
                yield policy
                break


def policy_of(record: RunRecord, group: Group, several: bool) -> PlayedPolicy | None:
    """The policy of a run, called after its group; None where it cannot be played, as without a checkpoint."""
    score = score_of(record)
    reached = f", final return {format_number(score)}" if record.result is not None else ", not finished"
    title = f"{group.env}, {group.label}" if several else group.label
    try:
        policy = played_policy(record.member.path, title, f"{shorten(record.member.path)}{reached}")
    except ProximaxError:
        return None
    small = policy is not None and sum(map(len, policy.weights["arrays"].values())) <= LONGEST
    return policy if small else None


def score_of(record: RunRecord) -> float:
    """The final return of a run's best seed; minus infinity without one."""
    returns = [] if record.result is None else record.result["returns"]
    return max((float(x) for x in returns if x is not None and math.isfinite(x)), default=float("-inf"))


def play_section(player: EmbeddedPlayer) -> Section:
    """The place in which they play; without a body where there are none."""
    body = join([tag("p", NOTE, class_="note"), Markup(player.markup)]) if player.markup else Markup("")
    return Section("play", "Let it play", body)
