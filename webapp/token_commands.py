"""`unseen token`: keys to a server that others than this machine may ask."""

import json
from pathlib import Path

import click

from engine.errors import UnseenError
from engine.library.database import Database
from engine.library.tokens import Tokens
from engine.options import json_option, library_option
from engine.search.serialise import rfc3339
from engine.settings import load_settings


@click.group()
def token() -> None:
    """Keys to the server, for who is not on this machine."""


@token.command()
@click.argument("name", default="unseen")
@library_option
def new(name: str, library: Path | None) -> None:
    """Make a token and print it, for the only time. NAME tells it from others.

    \b
    Example: unseen token new phone
    """
    with Database.open(load_settings(library=library).library, writable=True) as database:
        made = Tokens(database).new(name)
    click.echo(made)
    click.echo("Keep it: only what it hashes to is stored.", err=True)


@token.command("list")
@library_option
@json_option
def list_tokens(library: Path | None, as_json: bool) -> None:
    """List the tokens by name, with when each was made and last used.

    \b
    Example: unseen token list
    """
    with Database.open(load_settings(library=library).library) as database:
        found = Tokens(database).all()
    if as_json:
        items = [
            {"name": one.name, "created_at": rfc3339(one.created_at), "last_used_at": rfc3339(one.last_used_at)}
            for one in found
        ]
        click.echo(json.dumps({"items": items}))
        return
    for one in found:
        used = f"used {one.last_used_at:%Y-%m-%d}" if one.last_used_at else "never used"
        click.echo(f"{one.name}\tmade {one.created_at:%Y-%m-%d}\t{used}")


@token.command()
@click.argument("name")
@library_option
def revoke(name: str, library: Path | None) -> None:
    """Make a token worthless, and end every session that was begun with it.

    \b
    Example: unseen token revoke phone
    """
    with Database.open(load_settings(library=library).library, writable=True) as database:
        if not Tokens(database).revoke(name):
            raise UnseenError(f"There is no token named {name}", "See them with: unseen token list")
    click.echo(f"Revoked {name}.", err=True)
