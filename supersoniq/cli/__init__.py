"""The command line: ``supersoniq``, or ``python -m supersoniq``.

Each command is a thin face on the same ``Broker`` and ``Queue`` that programs use. What is shared
stands in ``common`` (options, stores, signals, errors) and ``output`` (people or programs read it);
every other module is one subject's commands.
"""

from __future__ import annotations

import sys

from supersoniq.core.errors import MissingExtra

__all__ = ["main"]


def main() -> None:
    """Run the command that the process was started with, and end the process."""
    try:
        import click  # noqa: F401
        import rich  # noqa: F401
    except ModuleNotFoundError as error:
        missing = MissingExtra("the command line", "supersoniq[cli]", error.name or str(error))
        print(f"Error: {missing}", file=sys.stderr)
        raise SystemExit(2) from None
    from supersoniq.cli.group import group

    group(prog_name="supersoniq")
