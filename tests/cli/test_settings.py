"""The settings of a server: which one wins, what is shown of them, what is refused."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from supersoniq.adapters.http.app import create_app
from supersoniq.adapters.http.serve import serve
from supersoniq.cli.configured import Configured
from supersoniq.cli.group import group
from supersoniq.cli.output import without_password
from supersoniq.cli.settings.load import load
from supersoniq.cli.settings.naming import declared
from supersoniq.cli.settings.show import example
from supersoniq.core.errors import InvalidSetting
from tests.cli.shell import Shell

SECRET = "s3cr3t-" * 6


@pytest.fixture(autouse=True)
def nobody_elses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [each for each in os.environ if each.startswith("SUPERSONIQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "supersoniq.toml") -> Path:
    Path(name).write_text(text)
    return Path(name)


def refused(**flags: Any) -> str:
    with pytest.raises(InvalidSetting) as caught:
        load(flags)
    return str(caught.value)


def test_flags_over_variables_over_the_file_over_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    found = load()
    assert (found.settings.listen.port, found.place("listen.port")) == (8000, "default")
    write("[listen]\nport = 1\nhost = '::1'")
    found = load()
    assert (found.settings.listen.port, found.place("listen.port")) == (
        1,
        "supersoniq.toml: listen.port",
    )
    monkeypatch.setenv("SUPERSONIQ_PORT", "2")
    found = load()
    assert (found.settings.listen.port, found.place("listen.port")) == (
        2,
        "variable SUPERSONIQ_PORT",
    )
    found = load({"port": "3"})
    assert (found.settings.listen.port, found.place("listen.port")) == (3, "flag --port")
    assert found.settings.listen.host == "::1"  # the rest of the section is still the file's


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERSONIQ_PORT", "")
    monkeypatch.setenv("SUPERSONIQ_CONFIG", "")
    assert load().settings.listen.port == 8000


@pytest.mark.parametrize("name", declared())
def test_each_has_three_names_that_do_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file, the variable and the flag say arrives, under its own name."""
    setting = declared()[name]
    write("", "there.pem")
    value = {"NUMBER": "7", "SECONDS": "7", "FILE": "there.pem", "true|false": "true"}.get(
        setting.metavar, setting.metavar.partition("|")[0]
    )
    if setting.default is True:
        value = "false"
    beside = {"auth_public_key": "there.pem"} if name.startswith("auth.") else {}
    if name in ("auth.secret", "auth.jwks", "auth.public_key"):
        beside = {}

    def came(flags: dict[str, Any]) -> Any:
        found = {
            it.dotted: (value, place) for it, value, place in load({**beside, **flags}).items()
        }
        assert [each for each, (_, place) in found.items() if place != "default"] in (
            [name],
            ["auth.public_key", name],
        )
        return found[name][0]

    monkeypatch.setenv(setting.variable, value)
    by_variable = came({})
    assert by_variable != setting.default
    monkeypatch.delenv(setting.variable)
    *section, key = setting.path
    number = setting.metavar in ("NUMBER", "SECONDS", "true|false")
    write(f"{f'[{section[0]}]' if section else ''}\n{key} = {value if number else repr(value)}")
    assert came({}) == by_variable
    write("")
    if setting.flag is not None:
        assert came({setting.name: value == "true" if setting.switch else value}) == by_variable


def test_every_flag_is_on_both_commands_and_its_help_says_what_it_is(shell: Shell) -> None:
    for name in ("serve", "config"):
        said = " ".join(shell.ask(name, "--help").output.split())
        for setting in declared().values():
            if setting.flag is not None:
                assert f"{setting.flag} " in said
                assert setting.help.split("http")[0][:50] in said
            elif setting.told.file:
                assert f"{setting.variable.removeprefix('SUPERSONIQ_').lower()}" not in said
        assert "--auth-secret " not in said
        assert "--auth-secret-file FILE" in said


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "port = 1",
            "port = 1: no such setting; did you mean listen.port? (supersoniq.toml: port)",
        ),
        ("[listen]\nprot = 1", "did you mean listen.port? (supersoniq.toml: listen.prot)"),
        ("[listne]\nport = 1", "no such section; there is listen (supersoniq.toml)"),
        ("listen = 1", "write [listen]"),
        ("[listen]\nport = 'x'", "listen.port = 'x': should be a valid integer"),
        ("[listen]\nport = true", "listen.port = True: takes no true or false"),
        ("[listen]\nport = 65536", "listen.port = 65536: should be less than or equal to 65535"),
        ("[listen]\ngrace = nan", "listen.grace = nan: should be a finite number"),
        ("[listen]\nhost = 1", "listen.host = 1: should be a valid string"),
        ("[limits]\nmax_batch = 10001", "limits.max_batch = 10001: takes at most 10000"),
        ("[limits]\nmax_wait = 0", "limits.max_wait = 0.0: takes more than 0"),
        ("[log]\nlevel = 'loud'", "log.level = 'loud': should be 'debug', 'info'"),
        ("[tls]\ncertfile = 'no.pem'", "tls.certfile = 'no.pem': there is no such file"),
        ("backend = ''", "backend = '': string should have at least 1 character"),
        ("[auth]\nsecret_file = 'no'", "auth.secret_file = 'no': No such file"),
        ('[auth]\nsecret_file = "a\\u0000b"', "auth.secret_file = 'a\\x00b': embedded null"),
        ("[auth]\nsecret_file = '/dev/zero'", "auth.secret_file = '/dev/zero': is longer than"),
        ("[auth]\nsecret_file = '/'", "auth.secret_file = '/': Is a directory"),
        ("[auth]\nsecret = 5", "auth.secret = '(hidden)': should be a valid string"),
        (f"[tls]\ncertfile = '{'x' * 5000}'", "xxx...': there is no such file"),
        ("[listen]\nallow_origins = [1]", "listen.allow_origins = [1]: should be a valid string"),
        ("a = " + "[" * 5000, "config = 'supersoniq.toml': cannot be read: maximum recursion"),
        ("[auth]\njwks_file = 'no'", "no such setting"),
        ("[auth]\nissuer = 'us'", "auth.issuer = 'us': takes a key beside it"),
        ("[auth]\nrequired = true", "auth.required = True: takes a key beside it"),
        ("[auth]\njwks = 'https://a'\nrequired = false", "contradicts auth.jwks"),
        ("[listen\n", "config = 'supersoniq.toml': cannot be read: Expected"),
        ("\udcff", "config = 'supersoniq.toml': cannot be read: 'utf-8' codec"),
    ],
)
def test_a_file_that_cannot_be(text: str, complaint: str) -> None:
    Path("supersoniq.toml").write_bytes(text.encode(errors="surrogateescape"))
    told = refused()
    assert complaint in told
    assert "supersoniq.toml" in told


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PORT", "x", "listen.port = 'x': should be a valid integer"),
        ("PROT", "1", "did you mean SUPERSONIQ_PORT? (variable SUPERSONIQ_PROT)"),
        ("port", "1", "no such setting"),
        ("LISTEN_PORT", "1", "did you mean SUPERSONIQ_PORT?"),
        ("DEV", "perhaps", "tls.dev = 'perhaps': should be a valid boolean"),
        ("AUTH_JWKS_FILE", "x", "no such setting"),
        ("", "x", "no such setting"),
    ],
)
def test_a_variable_that_cannot_be(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SUPERSONIQ_{variable}", value)
    told = refused()
    assert complaint in told
    assert f"(variable SUPERSONIQ_{variable})" in told


@pytest.mark.parametrize("variable", ["AUTH_PUBLIC_KEY", "AUTH_PUBLIC", "CERTFILE"])
def test_a_key_in_a_wrong_place_is_not_shown(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIDc\n-----END PRIVATE KEY-----"
    monkeypatch.setenv(f"SUPERSONIQ_{variable}", key)
    told = refused()
    assert "(hidden)" in told
    assert "MC4" not in told


def test_what_contradicts_is_told_with_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPERSONIQ_AUTH_SECRET", SECRET)
    told = refused(auth_jwks="https://a.example")
    assert "auth.jwks = 'https://a.example': contradicts auth.secret (variable" in told
    assert "(flag --auth-jwks)" in told
    assert SECRET not in told


def test_variables_that_others_put_there_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {
        "TOKEN": "a client's",
        "PORT": "tcp://10.0.0.1:8000",
        "SERVICE_HOST": "10.0.0.1",
        "SERVICE_PORT": "8000",
        "SERVICE_PORT_HTTP": "8000",
        "PORT_8000_TCP": "tcp://10.0.0.1:8000",
        "PORT_8000_TCP_ADDR": "10.0.0.1",
        "PORT_8000_UDP_PROTO": "udp",
    }
    for name, value in theirs.items():
        monkeypatch.setenv(f"SUPERSONIQ_{name}", value)
    found = load()
    assert found.settings.listen.port == 8000
    assert not found.places


def test_a_secret_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write(f"{SECRET}\n", "key")
    found = load({"auth_secret_file": "key"})
    assert found.settings.auth.secret is not None
    assert found.settings.auth.secret.get_secret_value() == SECRET
    assert found.place("auth.secret") == "the file key, from flag --auth-secret-file"
    assert SECRET not in repr(found)
    write("redis://:pass@host\n", "store")
    write("backend = 'memory://'")
    monkeypatch.setenv("SUPERSONIQ_BACKEND_FILE", "store")
    assert load().settings.backend == "redis://:pass@host"  # a variable, before the file
    monkeypatch.setenv("SUPERSONIQ_BACKEND", "redis://:word@host")
    told = refused()
    assert "backend = 'redis://:***@host': is given twice" in told


def test_config_shows_what_is_in_force_and_no_secret(shell: Shell) -> None:
    shell.env |= {"SUPERSONIQ_AUTH_SECRET": SECRET, "SUPERSONIQ_BACKEND": "redis://u:pw1@h/0"}
    write("[limits]\nmax_body = 1000")
    done = shell.run("config", "--port", "9")
    assert (done.returncode, done.stderr) == (0, b"")
    told = {each["setting"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert set(told) == set(declared())
    assert told["listen.port"] == {"setting": "listen.port", "value": 9, "from": "flag --port"}
    assert told["limits.max_body"]["from"] == "supersoniq.toml: limits.max_body"
    assert told["auth.secret"]["value"] == "(hidden)"
    assert told["auth.jwks"]["value"] is None
    assert told["backend"]["value"] == "redis://u:***@h/0"
    assert b"s3cr3t" not in done.stdout
    assert b"pw1" not in done.stdout


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("PORT", "x", "listen.port = 'x': should be a valid integer"),
        ("SERVER", "none", "listen.server = 'none': is not among granian, hypercorn, native"),
        ("ROOT_PATH", "queue/", "listen.root_path = 'queue/': takes a path such as /queue"),
        ("ALLOW_ORIGINS", "here", "listen.allow_origins = 'here': takes origins"),
        ("HOST", "0.0.0.0", "listen.host = '0.0.0.0': others can reach this address"),
        ("HTTP3", "yes", "tls.http3 = True: needs TLS"),
        ("AUTH_JWKS", "http://a.example", "auth.jwks = 'http://a.example': takes https://"),
        ("AUTH_SECRET", "short", "auth.secret = '(hidden)': has 5 bytes"),
        ("MAX_RATE", "5", "limits.max_rate = 5.0: is for each caller"),
        ("MAX_OPEN", "5", "limits.max_open = 5: is for each caller"),
        ("MAX_OPEN", "1.5", "limits.max_open = '1.5': should be a valid integer"),
        ("MAX_QUEUES", "0", "limits.max_queues = '0': should be greater than or equal to 1"),
        ("BACKEND", "none://x", "backend = 'none://x': none is not among http, https, memory"),
        ("BACKEND", "none", "backend = 'none': is not a URL such as"),
        ("BACKEND", "redis://:pw1@h:x", "backend = 'redis://:***@h:x': is no URL"),
        ("BACKEND", "sqlite:///x?y=1", "backend = 'sqlite:///x?y=1': y = '1': no such option"),
    ],
)
def test_config_refuses_as_serve_does(
    variable: str, value: str, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"SUPERSONIQ_{variable}", value)
    for command in ("config", "serve"):
        done = CliRunner().invoke(group, [command])
        assert (done.exit_code, done.stdout) == (2, "")
        said = " ".join(done.stderr.split())
        assert complaint in said
        assert said.endswith(f"(variable SUPERSONIQ_{variable})")
        assert "pw1" not in said


def test_config_makes_nothing(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supersoniq.adapters.http.serve._dev_certificate", None)
    done = shell.ask("config", "--dev", "--backend", "sqlite:///none.db")
    assert (done.exit_code, done.stderr) == (0, "")
    assert not Path("none.db").exists()


def test_a_host_that_nobody_knows_is_named(shell: Shell) -> None:
    for command in ("config", "serve"):
        done = shell.ask(command, "--host", "none.invalid")
        assert done.exit_code == 1  # it may be known soon: a supervisor tries again
        assert "host = 'none.invalid': " in done.stderr


def test_serve_says_the_place_of_what_only_it_can_refuse(shell: Shell) -> None:
    write("[tls]\nkeyfile = 'key'")
    write("", "key")
    done = shell.run("serve", "--port", "0")
    assert done.returncode == 2
    assert b"tls.keyfile = 'key': is of no use without a certfile" in done.stderr
    assert b"(supersoniq.toml: tls.keyfile)" in done.stderr
    write("[auth]\nsecret = 'short'")
    done = shell.run("serve", "--port", "0")
    assert b"auth.secret = '(hidden)'" in done.stderr
    assert b"(supersoniq.toml: auth.secret)" in done.stderr
    assert b"short'" not in done.stderr


def test_a_command_that_consume_runs_can_have_settings(shell: Shell) -> None:
    """It is told about its message in variables of that prefix, which are none."""
    shell.lines("publish", "x", "--key", "k", "--sender", "me")
    done = shell.run("consume", "--limit", "1", "--exec", f"{sys.executable} -m supersoniq config")
    assert done.returncode == 0, done.stderr
    assert shell.stats()["acked"] == 1, done.stderr


def test_a_password_on_the_command_line_is_a_warning(shell: Shell) -> None:
    write("redis://:pw1@localhost:1", "store")
    for words, warned in (
        (["--backend", "redis://:pw1@localhost:1"], True),
        (["--backend-file", "store"], False),
    ):
        done = shell.run("serve", "--port", "0", *words)
        assert done.returncode == 1
        assert (b"other users of this machine" in done.stderr) is warned
        assert b"pw1" not in done.stderr


def test_the_level_of_the_log(shell: Shell) -> None:
    for level, told in (("warning", True), ("error", False)):
        server = shell.start(
            "serve", "--port", "0", "--dev", "--log-level", level, "--backend", "memory://"
        )
        assert server.stdout is not None
        server.stdout.readline()
        _, said = shell.end(server)
        assert ("which nobody trusts" in said) is told


def test_the_example_is_a_file_with_everything(shell: Shell) -> None:
    said = shell.ask("config", "--example").stdout
    assert said == example()
    write(said)
    assert set(load().places) == {"backend"}
    keys = [
        line.removeprefix("# ").partition(" = ")[0] for line in said.splitlines() if " = " in line
    ]
    wanted = {it.path[-1] for it in declared().values() if not it.hidden}
    assert wanted <= set(keys)
    uncommented = [line.removeprefix("# ") if " = " in line else line for line in said.splitlines()]
    tomllib.loads("\n".join(uncommented))


def test_other_commands_find_the_store_that_the_file_names(shell: Shell) -> None:
    write("backend = 'sqlite:///of-the-server.db'\n[listen]\nport = 1")
    shell.lines("publish", "hello")
    assert Path("of-the-server.db").exists()
    write("backend_file = 'store'")
    write("sqlite:///of-the-server.db\n", "store")
    assert shell.stats()["ready"] == 1
    write("backend = ")
    done = shell.ask("stats")
    assert done.exit_code == 2
    assert "'supersoniq.toml': cannot be read" in " ".join(done.output.split())


def test_no_other_command_waits_for_pydantic(shell: Shell) -> None:
    program = (
        "import sys\nfrom supersoniq.cli.group import group\n"
        "try:\n    group(sys.argv[1:], prog_name='supersoniq')\n"
        "finally:\n    print('pydantic' in sys.modules, file=sys.stderr)\n"
    )
    for words, loaded in ((["publish", "x"], b"False\n"), (["config"], b"True\n")):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], cwd=shell.folder, env=shell.env,
            capture_output=True, check=True,
        )  # fmt: skip
        assert done.stderr == loaded


def test_whatever_python_can_tell_a_server_is_a_setting() -> None:
    """Those of ``serve`` and of the app behind it, by the same names."""
    taken = {*inspect.signature(serve).parameters, *inspect.signature(create_app).parameters}
    set_otherwise = {"broker", "auth", "no_auth", "on_started", "dry", "options"}
    names = {it.path[-1] for it in declared().values()} | {it.name for it in declared().values()}
    assert taken - set_otherwise <= names


def test_every_server_command_is_made_from_the_model() -> None:
    for name in ("serve", "config"):
        assert isinstance(group.commands[name], Configured)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://:p@h/0", "redis://:***@h/0"),
        ("redis://u:p@ss:w@h/0", "redis://u:***@h/0"),
        ("redis+sentinel://a,b/m?password=x&sentinel_password=y&db=1",
         "redis+sentinel://a,b/m?password=***&sentinel_password=***&db=1"),
        ("https://h?token=abc", "https://h?token=***"),
        ("sqlite:///a@b:c.db", "sqlite:///a@b:c.db"),
        ("memory://", "memory://"),
    ],
)  # fmt: skip
def test_a_url_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
