"""The page and the API: they read the library, and write to it only marks of hits and what becomes of tokens."""

from flask import Flask
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from engine.settings import Settings, load_settings
from webapp import auth, caching, compression, cors, csrf, errors, library, limits, logs, metrics, security, turns
from webapp.arguments import Json
from webapp.proxy import Proxied
from webapp.schemas import ProblemOut

VERSION = "1"


def create_app(settings: Settings | None = None) -> Flask:
    """The application for the library that `settings` name (the environment's where not given).

    The library need not exist yet; until it does, the page says how to begin.
    """
    from webapp import api, feedback, indexing, overview
    from webapp.pages import pages

    settings = settings or load_settings()
    app = OpenAPI(
        __name__,
        info=Info(title="unseen", version=VERSION, description="Search photos by words, and see where they are."),
        security_schemes={"token": {"type": "http", "scheme": "bearer", "description": "of unseen token new"}},
        doc_ui=False,  # webapp.docs draws its own page, without anything from elsewhere
        validation_error_model=ProblemOut,
        validation_error_callback=errors.invalid_arguments,
    )
    app.json = Json(app)
    app.url_map.strict_slashes = False
    shown = app.extensions[library.EXTENSION] = library.Library(settings)
    jobs = indexing.register(app, settings)
    # What is registered first sees a request first, and its answer last.
    logs.register(app, settings)
    metrics.register(app, shown, jobs)
    security.register(app, settings.host, settings.hosts)
    cors.register(app, settings.cors)
    errors.register(app)
    compression.register(app)
    auth.register(app, settings)
    csrf.register(app, settings.cors)
    limits.register(app, auth.costly_calls(settings))
    turns.register(app)
    caching.register(app)
    for calls in (api.api, feedback.feedback, indexing.indexing, overview.overview):
        app.register_api(calls)
    app.register_blueprint(pages)
    app.add_url_rule("/healthz", "health", overview.health)  # where programs look for it
    app.add_url_rule("/metrics", "metrics", metrics.exposition)
    app.wsgi_app = Proxied(app.wsgi_app, settings)  # type: ignore[method-assign]
    return app
