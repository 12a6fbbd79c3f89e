"""Pages of other web sites that may call the API: none, but those that the settings name."""

from flask import Flask, Response, request

from webapp.answers import PREFIX

METHODS = "GET, HEAD, POST, DELETE"
HEADERS = "Authorization, Content-Type, If-None-Match, Range"
EXPOSED = "ETag, Location, Retry-After, WWW-Authenticate, Content-Range, X-Request-Id"
SECONDS = "600"  # that a browser may remember the permission


def register(app: Flask, friends: tuple[str, ...]) -> None:
    """Let pages of `friends`, which are origins, call `app`."""
    if not friends:
        return

    @app.before_request
    def permission() -> Response | None:
        asked = request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers
        return Response(status=204) if asked and _from_friend(friends) else None

    @app.after_request
    def say_so(response: Response) -> Response:
        if not request.path.startswith(PREFIX):
            return response
        response.vary.add("Origin")
        if _from_friend(friends):
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
            if request.method == "OPTIONS":
                response.headers["Access-Control-Allow-Methods"] = METHODS
                response.headers["Access-Control-Allow-Headers"] = HEADERS
                response.headers["Access-Control-Max-Age"] = SECONDS
        return response


def _from_friend(friends: tuple[str, ...]) -> bool:
    return request.path.startswith(PREFIX) and request.headers.get("Origin") in friends
