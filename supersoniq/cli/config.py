"""``supersoniq config``: what a server would run with."""

from __future__ import annotations

from typing import Any

import click

from supersoniq.cli.configured import configured, found
from supersoniq.cli.output import Out, table
from supersoniq.cli.serving import run

__all__ = ["config"]


@configured(
    "Show the settings of a server, and where each comes from.",
    "supersoniq config",
    "supersoniq config --port 9000",
    "supersoniq config --example > supersoniq.toml",
    "supersoniq config | grep -v default",
)
@click.option(
    "--example", is_flag=True, help="A file with all settings and what they are, instead."
)
def config(config: str | None, example: bool, **flags: Any) -> None:
    """Show the settings that 'supersoniq serve' would have with the same flags, each with its value
    and where it comes from. Secrets are hidden. What cannot be is refused, as serve would.

    State: nothing changes.
    """
    if example:
        from supersoniq.cli.settings.show import example as example_file

        click.echo(example_file(), nl=False)
        return
    in_force = found(flags, config)
    run(in_force, dry=True)
    from supersoniq.cli.settings.show import rows

    out, told = Out(), rows(in_force)
    if out.json:
        out.lines(told)
        return
    texts = (("" if each["value"] is None else each["value"], each) for each in told)
    shown = [(each["setting"], text, each["from"]) for text, each in texts]
    out.console.print(table("setting", "value", "from", rows=shown))
