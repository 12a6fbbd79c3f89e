"""Text goes out compressed where that pays; pictures are compressed already."""

import gzip

from flask import Flask, Response, request

TEXT = frozenset(
    {
        "application/json",
        "application/problem+json",
        "image/svg+xml",
        "text/css",
        "text/html",
        "text/javascript",
        "text/plain",
    }
)
WORTH_IT = 1024  # bytes; less than that fits into one packet anyway
LEVEL = 5


def register(app: Flask) -> None:
    """Compress what `app` answers."""

    @app.after_request
    def compress(response: Response) -> Response:
        if response.mimetype not in TEXT:
            return response
        response.vary.add("Accept-Encoding")
        if response.status_code == 206 or "Content-Encoding" in response.headers:
            return response
        if not request.accept_encodings["gzip"]:
            return response
        response.direct_passthrough = False  # a file of ours, which is small
        body = response.get_data()
        if len(body) < WORTH_IT:
            return response
        response.set_data(gzip.compress(body, LEVEL, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
        etag, _ = response.get_etag()
        if etag is not None:
            response.set_etag(etag, weak=True)  # the same content, in other bytes
        return response
