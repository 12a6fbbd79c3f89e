"""Who may ask: anyone on this machine; anyone else only with a token.

A program sends the token with each call (`Authorization: Bearer`). A person gives it once on the login page and gets a
session: a signed cookie that names the token, so revoking the token ends the session. docs/security.md says what all
this is for.
"""

import os
import secrets
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, Flask, current_app, g, redirect, render_template, request, session, url_for
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue

from engine.errors import LibraryNotFound, UnseenError
from engine.library.database import Database
from engine.library.tokens import Token, Tokens
from engine.settings import Settings
from webapp.errors import TokenNeeded, TooMany, for_api
from webapp.library import current
from webapp.limits import Limit
from webapp.security import is_loopback

EXTENSION = "unseen.guesses"
DAYS = 30  # that a session lasts
RATE = 60  # costly calls a minute for each client, where others than this machine may ask
GUESSES = 10  # wrong tokens a minute from one address
PUBLIC = frozenset({"static", "auth.login", "auth.send_token", "library.healthz", "health"})
SECRET = 32  # bytes that sessions are signed with
NOTED = 3600.0  # seconds after which the use of a token is noted again

auth = Blueprint("auth", __name__)


class Session(SecureCookieSessionInterface):
    """Flask's signed cookie, kept to this server's path, and to TLS where there is any."""

    def get_cookie_secure(self, app: Flask) -> bool:
        """Whether the browser may only send it over TLS."""
        return request.is_secure

    def get_cookie_path(self, app: Flask) -> str:
        """Where the browser sends it."""
        return request.script_root or "/"


def only_here(settings: Settings) -> bool:
    """Whether no one but this machine can ask: not over the network, and not through a proxy."""
    return is_loopback(settings.host) and not settings.proxies


def token_needed(settings: Settings) -> bool:
    """Whether who asks must show a token."""
    return not only_here(settings) if settings.auth is None else settings.auth


def costly_calls(settings: Settings) -> int:
    """How many a client may make in a minute; 0 is any number."""
    if settings.rate is not None:
        return settings.rate
    return 0 if only_here(settings) else RATE


def register(app: Flask, settings: Settings) -> None:
    """Let only those use `app` who may."""
    app.session_interface = Session()
    app.config.update(
        SECRET_KEY=_secret(settings.library),
        SESSION_COOKIE_NAME="unseen",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_REFRESH_EACH_REQUEST=False,
        PERMANENT_SESSION_LIFETIME=DAYS * 86400,
    )
    app.extensions[EXTENSION] = Limit(GUESSES, GUESSES)
    app.register_blueprint(auth)
    app.add_template_global(lambda: "token" in session, "logged_in")
    if token_needed(settings):
        app.before_request(_authenticate)


@auth.get("/login")
def login() -> ResponseReturnValue:
    """Ask for a token."""
    return render_template("login.html", goal=_goal(request.args.get("next")))


@auth.post("/login")
def send_token() -> ResponseReturnValue:
    """Begin a session, and go where the visitor wanted to."""
    goal = _goal(request.form.get("next"))
    try:
        token = _verified(request.form.get("token", "").strip())
    except TokenNeeded as error:
        return render_template("login.html", goal=goal, error=error), 401
    session.clear()  # with it a CSRF token that someone may have planted
    session.permanent = True
    session["token"] = token.id
    session["until"] = int(time.time()) + DAYS * 86400
    return redirect(f"{request.script_root}{goal}", 303)


@auth.post("/logout")
def logout() -> ResponseReturnValue:
    """End the session."""
    session.clear()
    return redirect(url_for(".login"), 303)


def bearer() -> str | None:
    """The token that came with the request, right or wrong."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _authenticate() -> ResponseReturnValue | None:
    if request.endpoint in PUBLIC:
        return None
    token = bearer()
    if token is not None:
        _verified(token)
        return None
    if _session_is_good():
        return None
    if for_api() or request.method not in ("GET", "HEAD"):
        raise TokenNeeded("A token is needed", "Send it as Authorization: Bearer TOKEN")
    goal = request.full_path.rstrip("?")
    return redirect(url_for("auth.login", next=goal if goal != "/" else None))


def _session_is_good() -> bool:
    token_id, until = session.get("token"), session.get("until")
    if not isinstance(token_id, int) or not isinstance(until, int) or until < time.time():
        return False
    try:
        return Tokens(current().database()).valid(token_id)
    except LibraryNotFound:
        return False


def _verified(text: str) -> Token:
    """The token as the library keeps it; raises TokenNeeded, or TooMany where too many wrong ones came before."""
    guesses: Limit = current_app.extensions[EXTENSION]
    client = request.remote_addr or ""
    if seconds := guesses.take(client, 0):
        raise TooMany("Too many wrong tokens came from this address", "Wait a minute", seconds)
    token = None
    with suppress(LibraryNotFound):  # without a library there is no token
        token = Tokens(current().database()).verify(text)
    if token is None:
        guesses.take(client)
        raise TokenNeeded("This token is not known", "Make one on the server: unseen token new")
    _note_use(token)
    g.token = token.name
    return token


def _note_use(token: Token) -> None:
    if token.last_used_at is None or time.time() - token.last_used_at.timestamp() > NOTED:
        with suppress(UnseenError), Database.open(current().folder, writable=True) as database:
            Tokens(database).used(token.id)  # a library that cannot be written is served all the same


def _goal(wanted: str | None) -> str:
    """Where to go after the login: a path of this server, and nothing that a browser takes for another one."""
    if not wanted or not wanted.startswith("/") or wanted.startswith(("//", "/\\")):
        return "/"
    parts = urlsplit(wanted)
    return wanted if not parts.netloc and wanted.isprintable() else "/"


def _secret(folder: Path) -> bytes:
    """What sessions are signed with: kept beside the library, so that they outlive the server."""
    path = folder / "session.key"
    with suppress(OSError):
        kept = path.read_bytes()
        if len(kept) >= SECRET:  # else a power failure has cut it short
            return kept
    secret = secrets.token_bytes(SECRET)
    with suppress(OSError):  # without a library, or one that can be written, sessions end with the server
        descriptor, partial = tempfile.mkstemp(dir=folder, suffix=".partial")  # readable by its owner only
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(secret)
                file.flush()
                os.fsync(descriptor)
            Path(partial).replace(path)
        finally:
            Path(partial).unlink(missing_ok=True)
    return secret
