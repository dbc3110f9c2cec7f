"""Writes docs/settings.md, from the model of the settings. A test compares."""

from __future__ import annotations

from pathlib import Path

from supersoniq.cli.settings.show import example, page_tables

PAGE = """\
# Settings

What `supersoniq serve` can be told. Each setting has a flag, a variable and a line in `supersoniq.toml`. Flags come
before variables, variables before the file, and the file before defaults. One line chooses the store:

```toml
backend = "sqlite:////var/lib/supersoniq/jobs.db"  # or "memory://", or "redis://queue.internal:6379/0"
```

`publish`, `stats` and the other commands take that line too, so that in the same folder they find the
same store.

- **The file** is `supersoniq.toml` in the working directory, or the one that `--config` or the variable `SUPERSONIQ_CONFIG` names.
  `supersoniq config --example > supersoniq.toml` writes one. Paths in it are relative to the working directory.
- **`supersoniq config`** shows what is in force and where each value comes from, and takes the flags of `serve`. Secrets are
  hidden, and so are passwords in URLs.
- **Secrets** can be in files of their own, as Docker, Kubernetes and systemd hand them out: `..._FILE`. There is no flag for a
  secret itself, since other users of a machine can read its command lines. A password in `--backend` can be read there too:
  put such a URL into `SUPERSONIQ_BACKEND`, or into a file.
- **What is unknown is refused**, in the file as among the variables with that prefix, and so is what cannot be. The error says the
  setting's name, its value, and the file and key, the variable or the flag; the exit status is 2:

  ```text
  {refused}
  ```

- An empty variable counts as none. Variables that Kubernetes makes for a service called `supersoniq` are passed over.
- A switch (`--dev`, `--no-dev`) takes `true` or `false` in the file, and as a variable also `yes`, `no`, `on`, `off`, `1`, `0`.
- Limits of the HTTP app have no flag; in Python they are options of `create_app`.

{tables}
## All in one file

```toml
{example}```
"""

REFUSED = (
    "Error: listen.prot = 8080: no such setting; did you mean listen.port? "
    "(supersoniq.toml: listen.prot)"
)


def page() -> str:
    """The whole page."""
    return PAGE.format(refused=REFUSED, tables=page_tables(), example=example())


if __name__ == "__main__":
    Path(__file__).with_name("settings.md").write_text(page())
