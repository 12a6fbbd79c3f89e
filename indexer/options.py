"""Options that the commands of the indexer share."""

import click

jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Threads; as many as there are cores if left out."
)
exclude_option = click.option(
    "--exclude",
    multiple=True,
    metavar="GLOB",
    help="Leave out files and folders by name or path below FOLDER; repeatable.",
)
