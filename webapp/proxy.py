"""Behind a reverse proxy: who asked, by which name, under which path. Only proxies that settings name are believed."""

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from werkzeug.middleware.proxy_fix import ProxyFix

from engine.errors import UnseenError
from engine.settings import Settings

Environ = dict[str, Any]
App = Callable[[Environ, Any], Iterable[bytes]]

_PREFIX = re.compile(r"(/[\w.~-]+)*")
_FORWARDED = ("FOR", "PROTO", "HOST", "PORT", "PREFIX")


class Proxied:
    """An application that sees requests as the proxy saw them."""

    def __init__(self, app: App, settings: Settings) -> None:
        """Raises UnseenError for a proxy that is neither an address nor a network."""
        self._app = app
        self._fixed = ProxyFix(app, x_for=1, x_proto=1, x_host=1, x_port=0, x_prefix=1)
        self._prefix = settings.prefix
        self._trusted = [_network(name) for name in settings.proxies]

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]:
        """Answer a request."""
        trusted = self._is_trusted(environ.get("REMOTE_ADDR", ""))
        sent = environ.get("HTTP_X_FORWARDED_PREFIX")
        if sent is not None and not _PREFIX.fullmatch(sent):
            del environ["HTTP_X_FORWARDED_PREFIX"]  # it would become part of every link
        if self._prefix:
            environ["HTTP_X_FORWARDED_PREFIX" if trusted else "SCRIPT_NAME"] = self._prefix
            path = environ.get("PATH_INFO", "")
            if path == self._prefix or path.startswith(f"{self._prefix}/"):  # a proxy may leave it in the path
                environ["PATH_INFO"] = path.removeprefix(self._prefix) or "/"
        if trusted:
            return self._fixed(environ, start_response)
        for name in _FORWARDED:
            environ.pop(f"HTTP_X_FORWARDED_{name}", None)
        return self._app(environ, start_response)

    def _is_trusted(self, address: str) -> bool:
        try:
            peer = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(peer in network for network in self._trusted)


def _network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name, strict=False)
    except ValueError:
        raise UnseenError(
            f"Setting proxies (UNSEEN_PROXIES): {name} is neither an address nor a network",
            "Write 127.0.0.1, or 172.16.0.0/12",
        ) from None
