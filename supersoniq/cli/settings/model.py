"""What there is to set of a server: a section for each subject, a field for each setting.

A field is all that is needed for a new setting. Its type checks it, its docstring explains it, and
the flags of ``supersoniq serve``, the variables, ``supersoniq config`` and ``docs/settings.md``
follow (``python docs/make_settings.py`` writes that page again). In ``listen``, ``tls`` and
``limits`` a field is called as ``adapters.http.serve`` calls it, which is given them all.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from supersoniq.adapters.http.limits import Limits as AppLimits
from supersoniq.cli.files import DEFAULT_BACKEND
from supersoniq.core.errors import InvalidSetting

__all__ = ["Section", "Settings", "Told"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Told:
    """What is told of a setting beside its type.

    Args:
        flag: whether it is also a flag. Secrets are not: other users of a machine can read its
            command lines.
        file: whether it may be given as the name of a file that holds it: ``..._FILE``.
        name: what it is called as a flag and a variable, if not section and field.
        metavar: what stands for its value in the help, if its type does not say it well.
    """

    flag: bool = True
    file: bool = False
    name: str | None = None
    metavar: str | None = None


class Section(BaseModel):
    """Settings of one subject: a table in the file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
    prefix: ClassVar[str] = ""
    """What its flags and variables begin with."""

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_for_one(cls, value: Any, info: Any) -> Any:
        if isinstance(value, bool) and "bool" not in str(
            cls.model_fields[info.field_name].annotation
        ):
            raise ValueError("takes no true or false")
        return value


Seconds = Annotated[float, Field(ge=0, le=3600), Told(metavar="SECONDS")]
Timeout = Annotated[float | None, Field(ge=0.001, le=3600), Told(metavar="SECONDS")]
URL = Told(metavar="URL")


def _there(path: Path) -> Path:
    if "-----BEGIN" in str(path):
        raise ValueError("takes the name of a file, not what is in it")
    try:
        there = path.is_file()
    except OSError:  # a name that is too long, or a folder that is closed to us
        there = False
    if not there:
        raise ValueError("there is no such file, or it cannot be seen from here")
    return path


File = Annotated[Path, AfterValidator(_there)]


class Listen(Section):
    """Where it listens, and who serves there."""

    host: str = "127.0.0.1"
    """The address to listen on: beyond this machine only with TLS and tokens."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """The port; 0 takes a free one, which is printed."""
    server: Annotated[str, Told(metavar="NAME")] = "native"
    """Who serves: native, uvicorn, hypercorn, granian, or what a plugin brings."""
    root_path: Annotated[str, Told(metavar="PATH")] = ""
    """The path under which a proxy shows the server, for the links that it gives."""
    allow_origins: Annotated[tuple[str, ...], Told(metavar="ORIGINS")] = ()
    """Origins whose web pages may call, with commas between: https://app.example.com; * is any."""
    console: bool = True
    """Whether there is a page for people at /console."""
    grace: Seconds = 10.0
    """Seconds that requests get to finish when it is stopped. A second signal ends it at once."""

    @field_validator("allow_origins", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return tuple(value.replace(",", " ").split()) if isinstance(value, str) else value


class Tls(Section):
    """TLS, which HTTP/3 and others' access need."""

    certfile: File | None = None
    """A certificate chain in PEM: speak TLS, with HTTP/2, and HTTP/3 on the same UDP port."""
    keyfile: File | None = None
    """Its private key, if that is in a file of its own."""
    dev: bool = False
    """TLS, to try HTTP/2 and 3: with a certificate made here that nobody trusts."""
    clear_text: bool = False
    """Allow HTTP without TLS on an address that others can reach: behind a proxy, say."""
    http3: bool | None = None
    """HTTP/3; with TLS, on by default."""


class Auth(Section):
    """Whose tokens are accepted. Without a key, whoever reaches the server may do everything."""

    prefix: ClassVar[str] = "auth_"

    public_key: File | None = None
    """Let in who has a token that the counterpart of this key (PEM) signed."""
    secret: Annotated[SecretStr | None, Told(flag=False, file=True)] = None
    """Or that this secret signed: 32 bytes or more."""
    jwks: Annotated[str | None, URL] = None
    """Or that one of the keys at this address signed."""
    issuer: str | None = None
    """Who must have made a token: its iss."""
    audience: str | None = None
    """Whom a token must be for: its aud."""
    required: Annotated[bool | None, Told(name="auth")] = None
    """Whether tokens are asked for. By default they are where there is a key, and there must be one
    on an address that others can reach; no allows everybody everything there."""

    @property
    def has_key(self) -> bool:
        """Whether there is one to check tokens with, and so whether they are asked for."""
        return any(each is not None for each in (self.public_key, self.secret, self.jwks))

    @model_validator(mode="after")
    def _one_key(self) -> Auth:
        keys = ("public_key", "secret", "jwks")
        given = [name for name in keys if getattr(self, name)]
        if len(given) > 1:
            first, second = given[:2]
            problem = f"contradicts auth.{first}; takes one of them"
            raise InvalidSetting(second, getattr(self, second), problem)
        if given and self.required is False:
            raise InvalidSetting("required", False, f"contradicts auth.{given[0]}")
        wanting = [name for name in ("issuer", "audience", "required") if getattr(self, name)]
        if wanting and not given:
            name = wanting[0]
            problem = "takes a key beside it: auth.public_key, auth.secret or auth.jwks"
            raise InvalidSetting(name, getattr(self, name), problem)
        return self


class Connections(Section):
    """How much clients may ask for."""

    max_connections: Annotated[int | None, Field(ge=1)] = None
    """TCP connections at the same time; newcomers get 503. 10,000 if there is none given."""
    head_timeout: Timeout = None
    """Seconds for a TLS handshake, and for a request's head. 10 if there are none given."""
    idle_timeout: Timeout = None
    """Seconds that a connection stays open without a request. 60 if there are none given."""
    max_queues: Annotated[int | None, Field(ge=1, le=2**40)] = None
    """Queues that there may be in the store; whoever would make another one is refused. 10,000 if
    there is none given."""


def _of_app() -> dict[str, Any]:
    """The bounds of the HTTP app as fields: not worth flags."""
    kinds, docs = get_type_hints(AppLimits), _docstrings(AppLimits)
    return {
        field.name: (
            Annotated[kinds[field.name], Told(flag=False)],
            Field(field.default, description=docs[field.name]),
        )
        for field in dataclasses.fields(AppLimits)
    }


def _docstrings(kind: type) -> dict[str, str]:
    """The docstrings below a class's attributes."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(ast.literal_eval(doc.value)).replace("``", "")
        for field, doc in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(doc, ast.Expr)
    }


class Bounds(Connections):
    """How much clients may ask for."""

    @model_validator(mode="after")
    def _as_the_app_has_them(self) -> Bounds:
        names = {field.name for field in dataclasses.fields(AppLimits)}
        AppLimits(**self.model_dump(include=names))
        return self


Limits = create_model("Limits", __base__=Bounds, __doc__=Bounds.__doc__, **_of_app())


class Log(Section):
    """What is told on standard error."""

    prefix: ClassVar[str] = "log_"

    level: Literal["debug", "info", "warning", "error"] = "warning"
    """The least that is told."""
    format: Literal["json", "text"] = "text"
    """Lines for people, or a JSON object each for machines."""


class Metrics(Section):
    """What GET /metrics tells."""

    prefix: ClassVar[str] = "metrics_"

    enabled: Annotated[bool, Told(name="metrics")] = True
    """Whether anything is counted there."""
    queues: Annotated[int, Field(ge=0, le=10_000), Told(flag=False)] = 100
    """Queues with figures of their own; the others are summed up."""


class Settings(BaseSettings):
    """All that can be set of a server."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )

    backend: Annotated[str, Field(min_length=1), Told(file=True, metavar="URL")] = DEFAULT_BACKEND
    """The store: memory://, sqlite:///jobs.db (a file here), sqlite:////var/jobs.db, redis://host."""
    listen: Listen = Listen()
    tls: Tls = Tls()
    auth: Auth = Auth()
    limits: Limits = Limits()  # type: ignore[valid-type]
    log: Log = Log()
    metrics: Metrics = Metrics()
