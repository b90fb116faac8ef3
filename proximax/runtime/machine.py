"""What a run was computed with: the machine, and the versions of what computes. No names of machines or people."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from proximax.runtime.compilation import usable_cores

LIBRARIES = ("jax", "jaxlib", "numpy", "optax", "gymnasium")


def machine_facts() -> dict[str, Any]:
    """Versions, operating system, processor, cores that may be used, and devices of JAX, as plain values."""
    devices = [device.device_kind for device in jax.devices()]
    return {
        "python": platform.python_version(),
        **{name: library_version(name) for name in LIBRARIES},
        "system": f"{platform.system()} {platform.machine()}".strip(),
        "processor": processor_name(),
        "cores": len(usable_cores()),
        "devices": [f"{devices.count(kind)} x {kind}" for kind in dict.fromkeys(devices)],
    }


def library_version(name: str) -> str:
    """The installed version."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name: by Linux where it says it, else as Python knows it; "" where nothing does."""
    try:
        lines = cpuinfo.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor()
