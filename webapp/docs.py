"""The OpenAPI document, and the page on which the API can be tried."""

from typing import Any, cast

from flask import current_app, render_template
from flask.typing import ResponseReturnValue
from flask_openapi3.openapi import OpenAPI


def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    spec: dict[str, Any] = cast(OpenAPI, current_app).api_doc
    for operations in spec["paths"].values():
        for operation in operations.values():
            if "parameters" not in operation:
                operation["responses"].pop("422", None)  # without arguments, none can be wrong
    return spec


def page() -> ResponseReturnValue:
    """Every call with its arguments as a form."""
    return render_template("docs.html", spec=document())
