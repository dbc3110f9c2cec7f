"""The file with settings, and files that hold one secret each: found and read, without what checks
them, so that any command can look for its store there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from supersoniq.core.errors import InvalidSetting

__all__ = ["DEFAULT_BACKEND", "FILE", "configured_backend", "held", "read_settings"]

FILE = "supersoniq.toml"
CONFIG = "SUPERSONIQ_CONFIG"
DEFAULT_BACKEND = "sqlite:///supersoniq.db"
"""The embedded default: a file in the working directory."""
MOST_HELD = 64 * 1024


def read_settings(named: str | None = None) -> tuple[str, dict[str, Any]]:
    """The file with settings.

    Args:
        named: its name. By default the one that ``SUPERSONIQ_CONFIG`` says, or ``supersoniq.toml``
            in the working directory, which need not be there.

    Returns:
        Its name, and what it says, unchecked.

    Raises:
        InvalidSetting: it cannot be read, or is no TOML.
    """
    named = named or os.environ.get(CONFIG)
    path = Path(named or FILE)
    if not named and not path.exists():
        return FILE, {}
    import tomllib  # only where there is a file

    try:
        with path.open("rb") as file:
            return str(path), tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidSetting("config", str(path), f"cannot be read: {_why(error)}") from None


def held(setting: str, file: object) -> str:
    """What a file holds that is named instead of a value, without white space around it.

    Args:
        setting: what is told in an error: the name of the setting that names the file.
        file: its name.

    Raises:
        InvalidSetting: it cannot be read, or is no text of at most 64 KiB.
    """
    try:
        with Path(str(file)).open("rb") as opened:
            raw = opened.read(MOST_HELD + 1)
        if len(raw) > MOST_HELD:
            raise ValueError("is longer than 64 KiB")
        return raw.decode().strip()
    except (OSError, ValueError) as error:
        problem = "is no text" if isinstance(error, UnicodeDecodeError) else _why(error)
        raise InvalidSetting(setting, str(file), problem) from None


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def configured_backend() -> str:
    """The store that the settings of a server here name, so that a command finds the same one.

    Only that line of them is read, and nothing else is checked.

    Raises:
        InvalidSetting: it cannot be read.
    """
    variable = "SUPERSONIQ_BACKEND_FILE"
    if file := os.environ.get(variable):
        return held(variable, file)
    name, told = read_settings()
    if (file := told.get("backend_file")) is not None:
        return held(f"backend_file in {name}", file)
    backend = told.get("backend", DEFAULT_BACKEND)
    if not isinstance(backend, str):
        raise InvalidSetting(f"backend in {name}", backend, "takes a URL")
    return backend
