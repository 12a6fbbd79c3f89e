"""No other web site may act in a visitor's name (cross-site request forgery).

What changes anything is refused where the browser says that another site sent it, and from a browser it must carry a
token that only our own pages know. A program without a browser's marks, or with a bearer token, is not in danger.
"""

import base64
import hmac
import secrets
from urllib.parse import urlsplit

from flask import Flask, request, session

from webapp.auth import bearer
from webapp.errors import Forged

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
READING = frozenset({"photos.search_by_image", "pages.home_like"})  # calls that POST an image, and change nothing
FIELD, HEADER = "csrf_token", "X-CSRF-Token"
LENGTH = 16  # bytes


def register(app: Flask, friends: tuple[str, ...]) -> None:
    """Guard `app`; `friends` are origins of other sites that may call it."""

    @app.before_request
    def only_our_own_pages() -> None:
        if request.method in SAFE or bearer() is not None:
            return
        origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
        if origin in friends:
            return
        ours = site in ("same-origin", "none") if site is not None else origin is None or _is_ours(origin)
        if not ours:
            raise Forged("Another web site sent this request", "If it may, name it in the setting UNSEEN_CORS")
        if request.endpoint in READING:
            return
        from_browser = origin is not None or site is not None or bool(session)
        if from_browser and not _is_token(request.headers.get(HEADER) or request.form.get(FIELD, "")):
            raise Forged("This request does not come from a page of this server", "Load the page again")

    app.add_template_global(csrf_token)


def csrf_token() -> str:
    """The token for a form (field `csrf_token`) or a script (header `X-CSRF-Token`), masked anew each time.

    Without the mask, the length of a compressed page would tell the token letter by letter (BREACH).
    """
    if not isinstance(session.get("csrf"), str):
        session["csrf"] = secrets.token_hex(LENGTH)
    secret, mask = bytes.fromhex(session["csrf"]), secrets.token_bytes(LENGTH)
    return base64.urlsafe_b64encode(mask + _xor(secret, mask)).decode()


def _is_token(sent: str) -> bool:
    known = session.get("csrf")
    if not isinstance(known, str):
        return False
    try:
        raw = base64.urlsafe_b64decode(sent.encode())
    except ValueError:
        return False
    return hmac.compare_digest(_xor(raw[:LENGTH], raw[LENGTH:]), bytes.fromhex(known))


def _is_ours(origin: str) -> bool:
    sent, own = urlsplit(origin), urlsplit(request.host_url)
    return (sent.scheme, sent.netloc) == (own.scheme, own.netloc)


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))
