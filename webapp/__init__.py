"""The page and the API: they read the library and never write it."""

from flask import Flask
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from engine.settings import Settings, load_settings
from webapp import auth, csrf, errors, library, security
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
        operation_id_callback=lambda *, name, **_: name,
        doc_ui=False,  # webapp.docs draws its own page, without anything from elsewhere
        validation_error_model=ProblemOut,
        validation_error_callback=errors.invalid_arguments,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.extensions[library.EXTENSION] = library.Library(settings)
    app.url_map.strict_slashes = False
    security.register(app, settings.host, settings.hosts)
    errors.register(app)
    auth.register(app, settings)
    csrf.register(app, settings.cors)
    indexing.register(app, settings)
    for calls in (api.api, feedback.feedback, indexing.indexing, overview.overview):
        app.register_api(calls)
    app.wsgi_app = Proxied(app.wsgi_app, settings)  # type: ignore[method-assign]
    app.register_blueprint(pages)
    return app
