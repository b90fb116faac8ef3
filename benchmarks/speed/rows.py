"""What the table of ``report.py`` claims: one ``Row`` a line, grouped by what is compared."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TARGETS: dict[str, float | None] = json.loads((Path(__file__).parent / "targets.json").read_text())

# How far the two sides of a ratio compute the same, which is never mixed in one row.
IDENTICAL = "identical in bits"  # the same numbers, to the last bit
EQUIVALENT = "equivalent"  # the same algorithm, sizes and settings, in other code
RETUNED = "retuned"  # each with its own settings, network or environment
SOURCES = ("Gymnasium", "EnvPool")


@dataclass(frozen=True)
class Row:
    """One line of the table. ``target`` (in targets.json, by ``id``) bounds the ratio; without ratio, the value."""

    id: str
    what: str
    file: str
    key: str  # of the measured number
    ours: str
    peers: str = ""  # how the names of the peer's contestants begin; the best of them counts
    over: str = ""  # instead of peers: what ours is divided by, less being better
    unit: str = ""
    less: bool = False  # is better
    code: str = ""  # with peers: how far both compute the same


def speed(id: str, what: str, file: str, ours: str, peers: str, code: str = EQUIVALENT) -> Row:
    """A row of steps per second."""
    return Row(id, what, file, "steps_per_s", ours, peers, unit="steps/s", code=code)


def shorter(id: str, what: str, file: str, ours: str, key: str, peers: str = "", code: str = "") -> Row:
    """A row of seconds."""
    return Row(id, what, file, key, ours, peers, unit="s", less=True, code=code)


def rows() -> Iterator[Row]:
    """The whole table."""
    yield from solved()
    yield from half_cheetah()
    yield from half_cheetah_million()
    yield from gymnax_cartpole()
    yield from seeds()
    yield from double_buffering()
    yield from pixels()
    yield from recurrent()
    yield from two_processes()
    what = "Update's share of the speed of a [1024, 64] x [64, 64] product"
    yield Row("matmul-share", what, "matmul_share", "share_of_64", "proximax")


def solved() -> Iterator[Row]:
    """From process start until CartPole-v1 is solved, each library with the settings it was tuned to."""
    for kind in ("cold", "warm"):
        what, ours = f"CartPole-v1, process start to solved, {kind}", f"proximax, {kind}"
        yield shorter(f"cartpole-{kind}", what, "cartpole_solved", ours, "to_goal_s")
        for peer in ("SB3", "SBX"):
            name = f"cartpole-{kind}-{peer.lower()}"
            yield shorter(name, what, "cartpole_solved", ours, "to_goal_s", peer, RETUNED)


def half_cheetah() -> Iterator[Row]:
    """Steps per second; CleanRL's script also normalises, and has an older version of the environment."""
    for source in SOURCES:
        for peer in ("SB3", "SBX", "CleanRL")[: 3 if source == "Gymnasium" else 2]:
            name = f"cheetah-{source.lower()}-{peer.lower()}"
            code = RETUNED if peer == "CleanRL" else EQUIVALENT
            yield speed(name, f"HalfCheetah-v5 by {source}", "half_cheetah", f"proximax, {source}", peer, code)
    for source in SOURCES:
        what = f"HalfCheetah-v5 by {source}: wall / max(environment, update)"
        name = f"cheetah-{source.lower()}-wall"
        yield Row(name, what, "half_cheetah", "wall_over_larger", f"parts, {source}", less=True, unit="times")


def half_cheetah_million() -> Iterator[Row]:
    """A million steps: seconds and return."""
    file, ours = "half_cheetah_million", "proximax, EnvPool"
    yield shorter("cheetah-million", "HalfCheetah-v5, 1 M steps by EnvPool", file, ours, "with_evaluation_s")
    yield Row("cheetah-million-return", "The same: final return", file, "return", ours)
    small = f"{ours}, 64 x 64"
    yield shorter("cheetah-million-64", "The same, 64 x 64 network", file, small, "with_evaluation_s")
    yield Row("cheetah-million-64-return", "The same, 64 x 64: final return", file, "return", small)


def gymnax_cartpole() -> Iterator[Row]:
    """Steps per second and compilation, one program each."""
    sides = [(envs, peer) for envs in (4, 64) for peer in ("PureJaxRL", "Rejax")]
    for envs, peer in sides:
        what, name = f"gymnax CartPole-v1, {envs} environments", f"gymnax-{envs}-{peer.lower()}"
        yield speed(name, what, "gymnax_cartpole", f"proximax, {envs}", f"{peer}, {envs}")
    for envs, peer in sides:
        what, name = f"gymnax CartPole-v1, {envs} environments: compilation", f"gymnax-{envs}-compile-{peer.lower()}"
        yield shorter(
            name, what, "gymnax_cartpole", f"proximax, {envs}", "compile_s", f"{peer}, {envs}", code=EQUIVALENT
        )


def seeds() -> Iterator[Row]:
    """Seeds side by side against one, and against PureJaxRL's."""
    for number in (8, 64):
        what, ours = f"{number} seeds in the time of one, without compilation", f"proximax, {number}"
        yield Row(f"seeds-{number}", what, "seeds", "run_s", ours, over="proximax, 1", unit="s", less=True)
    yield speed("seeds-8-purejaxrl", "8 seeds, all their steps", "seeds", "proximax, 8", "PureJaxRL, 8")


def double_buffering() -> Iterator[Row]:
    """Two groups of environments against one: the same transitions, but for rounding."""
    for source in SOURCES:
        for envs in (8, 64):
            what, name = f"HalfCheetah-v5 by {source}, {envs} environments", f"{source}, {envs} environments"
            both = f"{name}, double-buffered", f"{name}, one group"
            row = f"double-buffering-{source.lower()}-{envs}"
            yield speed(row, f"{what}: double-buffered", "double_buffering", *both)


def pixels() -> Iterator[Row]:
    """Pong with the peer's network, and with that for CPUs."""
    for network, code in (("Nature CNN", EQUIVALENT), ("patch-cnn", RETUNED)):
        what, ours = f"Pong from 84 x 84 pixels, {network}", f"proximax, {network}"
        name = f"pong-{network.lower().removesuffix(' cnn')}-sb3"
        yield speed(name, what, "pong_pixels", ours, "SB3", code)


def recurrent() -> Iterator[Row]:
    """Networks with memory; the peer's LSTM has its hidden layer behind it, ours before it."""
    for cell in ("lstm", "gru", "mingru"):
        what, ours = f"CartPole-v1 without velocities, {cell}", f"proximax, {cell}"
        yield speed(f"recurrent-{cell}", what, "recurrent", ours, "RecurrentPPO", RETUNED)
        yield speed(f"recurrent-{cell}-mlp", f"{what}: against no memory", "recurrent", ours, "proximax, mlp", RETUNED)


def two_processes() -> Iterator[Row]:
    """Two processes with the same settings."""
    what = "CartPole-v1 in two processes"
    yield speed("rllib", what, "rllib", "proximax", "RLlib")
    parts = {
        "solved": (f"{what}, process start to solved", "to_goal_s"),
        "killed": (f"{what}: pause after kill -9 of a worker", "pause_s"),
    }
    for part, (text, key) in parts.items():
        yield shorter(f"rllib-{part}", text, "rllib", f"{part}: proximax", key, f"{part}: RLlib", EQUIVALENT)
