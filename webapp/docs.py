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
            if "parameters" not in operation and "requestBody" not in operation:
                operation["responses"].pop("422", None)  # without arguments, none can be wrong
    spec["security"] = [{}, {"token": []}]  # none where only this machine may ask
    return spec


def page() -> ResponseReturnValue:
    """Every call with its arguments as a form."""
    spec = document()

    def fields_of(operation: dict[str, Any], kind: str) -> dict[str, Any]:
        """The fields of what a call takes in a body of this media type, by name."""
        content = operation.get("requestBody", {}).get("content", {})
        if kind not in content:
            return {}
        name = content[kind]["schema"]["$ref"].rsplit("/", 1)[1]
        return cast(dict[str, Any], spec["components"]["schemas"][name]["properties"])

    return render_template("docs.html", spec=spec, fields_of=fields_of)
