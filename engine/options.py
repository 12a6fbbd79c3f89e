"""Options that commands share."""

from math import isnan
from pathlib import Path
from typing import Any

import click


class Share(click.FloatRange):
    """A number from 0 to 1, which NaN is not."""

    def __init__(self) -> None:
        super().__init__(0, 1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As a number; fails for anything else."""
        number = float(super().convert(value, param, ctx))
        return self.fail(f"{value!r} is not a number.", param, ctx) if isnan(number) else number


library_option = click.option(
    "--library",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Library folder; UNSEEN_LIBRARY or the platform's data folder if left out.",
)
model_option = click.option(
    "--model", metavar="NAME", help="Bundle: a name, or a folder; UNSEEN_MODEL or the library's own if left out."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
