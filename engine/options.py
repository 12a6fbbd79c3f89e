"""Options that commands share."""

from pathlib import Path

import click

library_option = click.option(
    "--library",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Library folder; UNSEEN_LIBRARY or the platform's data folder if left out.",
)
model_option = click.option(
    "--model", metavar="NAME", help="Bundle: a name, or a folder; the library's own if left out."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
