"""What the server writes to its log: errors, and each request where that is wanted.

A line tells who asked for which path, and how it went. It never tells a token, and what was searched for only where the
settings say so.
"""

import json
import logging
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, Response, g, request

from engine.settings import Settings

logger = logging.getLogger("unseen.requests")


class JsonLines(logging.Formatter):
    """A line is a JSON object: time, level, logger, message, and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(settings: Settings) -> None:
    """Send the logs of this process to standard error, as the settings want them."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(JsonLines())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # that requests wait their turn is no news
    logger.setLevel(logging.INFO if settings.log_requests else logging.WARNING)


def register(app: Flask, settings: Settings) -> None:
    """Number the requests of `app`, and log them where that is wanted."""

    @app.before_request
    def number() -> None:
        g.request_id = secrets.token_hex(6)
        g.started = time.perf_counter()

    @app.after_request
    def log(response: Response) -> Response:
        response.headers["X-Request-Id"] = g.get("request_id", "")
        if logger.isEnabledFor(logging.INFO):
            asked = request.full_path.rstrip("?") if settings.log_queries else request.path
            fields = {
                "method": request.method,
                "path": request.script_root + asked,
                "status": response.status_code,
                "milliseconds": round((time.perf_counter() - g.started) * 1000, 1) if "started" in g else None,
                # Of what is made while it is sent, nothing is known; to count it would hold back every event of a run.
                "bytes": response.calculate_content_length() if response.is_sequence else response.content_length,
                "client": request.remote_addr,
                "token": g.get("token"),
                "request_id": g.get("request_id"),
            }
            shown = json.dumps(fields["path"], ensure_ascii=False)[1:-1]  # no line break of a client's making
            logger.info(
                "%s %s %s %s in %s ms", request.remote_addr, request.method, shown, fields["status"],
                fields["milliseconds"], extra={"fields": fields},
            )  # fmt: skip
        return response
