"""Commands that take a server's settings: every one as a flag, made from the model.

The model brings pydantic, whose import takes longer than many a command. So the flags are made when
such a command is run, or its help is asked for, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from supersoniq.cli.common import Failed
from supersoniq.cli.options import Command
from supersoniq.core.errors import ConfigurationError, MissingExtra

if TYPE_CHECKING:
    from supersoniq.cli.settings.load import Found

__all__ = ["CANNOT_START", "configured", "found"]

CANNOT_START = 2
"""The exit status when settings are wrong: to try it again changes nothing."""

EPILOG = (
    "A setting is also a variable (--max-connections is SUPERSONIQ_MAX_CONNECTIONS) and stands in "
    "supersoniq.toml: see 'supersoniq config --example'. Flags come before variables, these before "
    "the file. 'supersoniq config' shows what is in force, and from where."
)


class Configured(Command):
    """A command with a flag for each setting."""

    complete = False

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its options."""
        if not self.complete:
            self.params[:0] = _flags()
            self.complete = True
        return super().get_params(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write them, those of each section together."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(option, "section", ""), []).append(record)
        for name, records in sections.items():
            with formatter.section(f"Options: {name}" if name else "Options"):
                formatter.write_dl(records)


def _flags() -> list[click.Parameter]:
    try:
        from supersoniq.cli.settings.flags import flags
    except ModuleNotFoundError as error:
        missing = error.name or str(error)
        raise Failed.of(MissingExtra("settings", "supersoniq[cli]", missing)) from None
    return flags()


def configured(short_help: str, *examples: str) -> Callable[[Callable[..., None]], Command]:
    """Make a command of a function that takes flags of settings as keywords, and ``config``."""

    def made(function: Callable[..., None]) -> Command:
        with_file = click.option(
            "--config",
            metavar="FILE",
            type=click.Path(),
            help="The file with settings, instead of SUPERSONIQ_CONFIG or supersoniq.toml.",
        )(function)
        result = click.command(cls=Configured, short_help=short_help, epilog=EPILOG)(with_file)
        result.examples = examples
        return result

    return made


def found(flags: dict[str, Any], config: str | None) -> Found:
    """The settings in force.

    Args:
        flags: what was given of them on the command line; ``None`` was not.
        config: the file's name, if one was given.

    Raises:
        Failed: one of them cannot be.
    """
    from supersoniq.cli.settings.load import load

    try:
        return load({name: value for name, value in flags.items() if value is not None}, config)
    except ConfigurationError as error:
        raise Failed(Failed.of(error).message, CANNOT_START) from None
