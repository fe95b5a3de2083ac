"""`mainstay keys`: who may call the server."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

import typer

from mainstay.cli import edge, output
from mainstay.cli.release import who
from mainstay.core import errors

HELP = "Make and revoke API keys.\n\n\b\nExample:\n  mainstay keys add shop --scope predict --scope feedback"
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SPAN = re.compile(r"([1-9][0-9]{0,5})([smhd])")
_RATE = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,3})?)/([smh])")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Of the caller: it stands in the audit, the key does not.")]
Scopes = Annotated[
    list[str],
    typer.Option("--scope", metavar="SCOPE", help="predict, feedback, read or admin (all of them). Several times."),
]


def register(app: typer.Typer) -> None:
    """Add the group and its commands."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help=HELP)
    edge.command(group, "add")(add)
    edge.command(group, "list")(list_)
    edge.command(group, "revoke")(revoke)
    edge.command(group, "rotate")(rotate)
    edge.command(group, "new", on_project=False)(new)
    app.add_typer(group, name="keys")


def add(
    call: edge.Call,
    name: Name,
    scope: Scopes,
    rate: Annotated[str, typer.Option(metavar="RATE", help="Most requests: 100/s, 600/m. Else no limit.")] = "",
    expires: Annotated[str, typer.Option(metavar="SPAN", help="Good for so long: 90d, 12h. Else for ever.")] = "",
) -> None:
    """Make a key and print it, once.

    Only its hash is kept, in .mainstay/run/keys.json. A server that runs knows it within a second. The first key closes
    the server to everybody without one, on loopback too.

    \b
    Example:
      mainstay keys add shop --scope predict --scope feedback --rate 100/s --expires 90d
    """
    from mainstay.project import Project

    lifetime = span(expires) if expires else None
    per_second = rate_of(rate) if rate else 0.0
    key = Project.open(call.project).add_key(name, scopes=known(scope), by=who(), rate=per_second, lifetime=lifetime)
    _show(call, name, key)


def list_(call: edge.Call) -> None:
    """List the keys: names, scopes, limits and how long each is good.

    \b
    Example:
      mainstay keys list
    """
    from mainstay.project import Project

    project = Project.open(call.project)
    now, found = project.clock.now(), project.keys()
    call.out.document(
        [
            {
                "name": key.name,
                "scopes": key.scopes,
                "rate": key.rate or None,
                "created_at": key.created_at,
                "expires_at": key.expires_at,
                "revoked_at": key.revoked_at,
                "good": key.good(now),
            }
            for key in found
        ]
    )
    if not found:
        open_ = "Unless MAINSTAY_API_KEYS gives some, whoever is on this machine may predict, give feedback and read."
        call.out.say("No keys are kept here.", project.closed() or open_)
        return
    rows = [
        (
            key.name,
            ", ".join(key.scopes),
            f"{key.rate:g}/s" if key.rate else "",
            f"{key.revoked_at:revoked %Y-%m-%d %H:%M}"
            if key.revoked_at
            else f"{key.expires_at:until %Y-%m-%d %H:%M}"
            if key.expires_at
            else "good",
        )
        for key in found
    ]
    call.out.say(output.table("", ("name", "scopes", "rate", "state"), rows))


def revoke(call: edge.Call, name: Name) -> None:
    """Make every key of a name worthless, within a second.

    The name stays listed: a server whose last key was revoked lets nobody in. To open it on loopback again, delete
    .mainstay/run/keys.json.

    \b
    Example:
      mainstay keys revoke shop
    """
    from mainstay.project import Project

    count = Project.open(call.project).revoke_key(name, by=who())
    call.out.document({"name": name, "revoked": count})
    call.out.say(f"{name}: {count} key(s) revoked." if count else f"{name} had no key that was good.")


def rotate(
    call: edge.Call,
    name: Name,
    grace: Annotated[str, typer.Option(metavar="SPAN", help="How long the old key stays good: 24h, 0s.")] = "24h",
) -> None:
    """Make a new key in another one's place, and print it, once.

    \b
    Example:
      mainstay keys rotate shop --grace 1h
    """
    from mainstay.project import Project

    lasts = timedelta(0) if grace.strip("0") in ("", "s", "m", "h", "d") else span(grace)
    key = Project.open(call.project).rotate_key(name, by=who(), grace=lasts)
    _show(call, name, key)
    call.out.note(f"The old key of {name} is good for {grace} more.")


def new(call: edge.Call) -> None:
    """Print a new key and its hash, and keep neither: for MAINSTAY_API_KEYS of a container.

    \b
    Example:
      mainstay keys new
      docker run -e MAINSTAY_API_KEYS="shop:predict+feedback:sha256=HASH" …
    """
    from mainstay.serve import keys

    key = keys.new_key()
    call.out.document({"key": key, "sha256": keys.hash_of(key)})
    call.out.say(key)
    call.out.note(f"sha256={keys.hash_of(key)}", "The key is shown once and kept nowhere.")


def known(scopes: list[str]) -> list[str]:
    """Return the scopes; raises UsageError for one that there is not."""
    from mainstay.serve.keys import Scope

    for scope in scopes:
        if scope not in set(Scope):
            raise errors.UsageError(f"{scope!r} is no scope; allowed: {', '.join(Scope)}")
    return scopes


def span(text: str) -> timedelta:
    """Return a length of time such as 90d, 12h or 30m; raises UsageError for anything else."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise errors.UsageError(f"{text!r} is no length of time; allowed: a number and s, m, h or d, such as 90d")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def rate_of(text: str) -> float:
    """Return requests a second from 100/s, 600/m or 100/h; raises UsageError for anything else."""
    found = _RATE.fullmatch(text)
    if found is None or not float(found[1]):
        raise errors.UsageError(f"{text!r} is no rate; allowed: requests in a second, minute or hour, such as 100/s")
    return float(found[1]) / UNITS[found[2]]


def _show(call: edge.Call, name: str, key: str) -> None:
    call.out.document({"name": name, "key": key})
    call.out.say(key)
    call.out.note(f"The key of {name} is shown this once and kept nowhere.", "Send it as: Authorization: Bearer KEY")
