"""The version of proximax."""

from importlib.metadata import PackageNotFoundError, version


def proximax_version() -> str:
    """The installed version."""
    try:
        return version("proximax")
    except PackageNotFoundError:
        return "unknown"
