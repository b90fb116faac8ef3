"""What all processes of a training must have in common, and what is worth saying where they do not."""

import hashlib
import json
import os
import platform
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from proximax.runtime import library_version, proximax_version, usable_cores

TOPOLOGY = Path("/sys/devices/system/cpu")
SHOWN = 8  # of a list of processor features in a message


class Facts(TypedDict):
    """Of one process: exchanged as JSON before JAX computes."""

    versions: dict[str, str]  # of Python and the libraries that compute
    settings: str  # a digest of config.json
    flags: str  # XLA_FLAGS
    features: list[str]  # of the processor, sorted
    machine: str
    cores: list[int]  # that the process may run on, in the order of ``neighbours``


def own_facts(settings: Mapping[str, object]) -> Facts:
    """Those of this process; ``settings``: what all must train with, as JSON."""
    return Facts(
        versions={
            "python": platform.python_version(),
            "proximax": proximax_version(),
            **{name: library_version(name) for name in ("jax", "jaxlib", "numpy", "optax")},
        },
        settings=hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12],
        flags=" ".join(sorted(os.environ.get("XLA_FLAGS", "").split())),
        features=processor_features(),
        machine=machine_name(),
        cores=neighbours(usable_cores()),
    )


def processor_features(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """What the processor can do, by the names of Linux; elsewhere its name."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    names = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
    return sorted(set(names.split())) or [f"{platform.machine()} {platform.processor()}".strip()]


def neighbours(cores: Sequence[int], topology: Path = TOPOLOGY) -> list[int]:
    """``cores`` in the order in which they should be divided: threads of one core, then cores of one socket."""

    def position(core: int) -> tuple[int, int, int]:
        names = (topology / f"cpu{core}" / "topology" / name for name in ("physical_package_id", "core_id"))
        try:
            socket_number, physical = (int(path.read_text()) for path in names)
        except (OSError, ValueError):
            return 0, 0, core
        return socket_number, physical, core

    return sorted(cores, key=position)


def machine_name() -> str:
    """The name of this machine, and what tells it from another of the same name."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
    except OSError:
        boot = ""
    return f"{socket.gethostname()} {boot}".strip()


def differences(facts: Sequence[Facts]) -> list[str]:
    """What forbids training together, by rank: other versions, settings or compiler flags."""
    found = [differing(name, [each["versions"].get(name, "none") for each in facts]) for name in facts[0]["versions"]]
    found.append(differing("settings (a digest of config.json)", [each["settings"] for each in facts]))
    found.append(differing("XLA_FLAGS", [each["flags"] or "none" for each in facts]))
    return [text for text in found if text]


def differing(name: str, values: Sequence[str]) -> str:
    """Which ranks have which value; "" where all have the same."""
    if len(set(values)) == 1:
        return ""
    groups = {value: [rank for rank, other in enumerate(values) if other == value] for value in values}
    return f"{name}: " + ", ".join(f"{value} in {ranks_text(ranks)}" for value, ranks in groups.items())


def processor_note(facts: Sequence[Facts]) -> str:
    """Where processors differ: which ranks lack what others have. "" where all have the same features."""
    everything = {feature for each in facts for feature in each["features"]}
    lacking = [", ".join(sorted(everything - set(each["features"]))[:SHOWN]) for each in facts]
    groups = {text: [rank for rank, other in enumerate(lacking) if other == text] for text in lacking if text}
    return "; ".join(f"{ranks_text(ranks)} without {text}" for text, ranks in groups.items())


def ranks_text(ranks: Sequence[int]) -> str:
    """``rank 3``, ``ranks 0-2, 5``."""
    parts: list[list[int]] = []
    for rank in ranks:
        if parts and rank == parts[-1][-1] + 1:
            parts[-1].append(rank)
        else:
            parts.append([rank])
    texts = [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]
    return f"rank{'' if len(ranks) == 1 else 's'} {', '.join(texts)}"
