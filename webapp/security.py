"""What keeps other web sites away from the photos: which host names are answered, and what a page may load.

A page elsewhere can make its own name point at 127.0.0.1 (DNS rebinding), and the browser then takes this server for
that page's own. Such a request still carries the foreign name, so only names that are ours are answered. An address in
numbers cannot be rebound.
"""

import socket
from ipaddress import ip_address

from flask import Flask, Response, abort, request

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARD = frozenset({"0.0.0.0", "::"})  # noqa: S104  (compared with, not bound to)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def register(app: Flask, host: str, names: tuple[str, ...] = ()) -> None:
    """Guard `app`, which listens on `host` and is known by other `names` too."""

    @app.before_request
    def only_our_names() -> None:
        if not is_ours(request.host, host, names):
            abort(421, f"This server does not answer to the name {request.host}")

    @app.after_request
    def harden(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def is_ours(asked: str, listening: str, names: tuple[str, ...] = ()) -> bool:
    """Whether `asked`, the Host header of a request, names the server that listens on `listening`."""
    name = _name(asked)
    if name in LOOPBACK or name in {known.lower().strip("[]") for known in (listening, *names)}:
        return True
    if listening not in WILDCARD:
        return False
    own = socket.gethostname().lower()
    return _is_address(name) or name in {own, own.split(".")[0], f"{own.split('.')[0]}.local"}


def _name(host: str) -> str:
    """`host` without its port and brackets."""
    name, colon, port = host.rpartition(":")
    return (name if colon and (port.isdigit() or not port) and not host.endswith("]") else host).lower().strip("[]")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
