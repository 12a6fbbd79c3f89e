"""`unseen train` and `unseen evaluate`."""

from dataclasses import replace
from pathlib import Path

import click

from engine.options import json_option
from engine.printing import print_json
from engine.settings import load_settings


@click.command()
@click.option("--dataset", required=True, help="everyday, corel5k, nus-wide, open-images, coco or csv.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of the data set.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the bundle to write.")
@click.option("--name", help="Name of the bundle; the name of its folder if left out.")
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs, instead of the recipe's.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of every random draw.")
@click.option("--work", type=click.Path(path_type=Path), help="Folder of checkpoint and log; OUT.training if left out.")
def train(
    dataset: str, data: Path, out: Path, name: str | None, epochs: int | None, seed: int, work: Path | None
) -> None:
    """Train a bundle; an interrupted run goes on from its last epoch.

    \b
    Example: unseen train --dataset everyday --data photos/ --out bundles/mine
    """
    from engine.training.recipes import recipe_for
    from engine.training.run import train_bundle

    recipe = replace(recipe_for(dataset), seed=seed)
    if epochs is not None:
        recipe = replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
    work = work or out.with_name(f"{out.name}.training")
    if train_bundle(recipe, data, out, name or out.resolve().name, work, load_settings().cache):
        click.echo(f"Wrote the bundle {out}", err=True)


@click.command()
@click.option("--dataset", required=True, help="nus-wide, open-images, coco, corel5k, csv or everyday.")
@click.option("--data", required=True, type=click.Path(path_type=Path), help="Folder of the data set.")
@click.option("--model", metavar="NAME", help="Bundle: a name, or a folder; `lite` if left out.")
@click.option("--split", type=click.Choice(["test", "validation", "train"]), default="test", show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Seed of the data set's splits; the one the bundle was trained with, or 0, if left out.",
)
@click.option("--per-class", type=click.Path(path_type=Path), metavar="CSV", help="Also write the figures of each tag.")
@json_option
def evaluate(
    dataset: str, data: Path, model: str | None, split: str, seed: int | None, per_class: Path | None, as_json: bool
) -> None:
    """Measure a bundle: the table of zero-shot and generalised zero-shot retrieval.

    \b
    Examples: unseen evaluate --dataset corel5k --data photos/corel5k
              unseen evaluate --dataset nus-wide --data NUS-WIDE --model biam-nus --per-class figures.csv
    """
    from engine.model.bundle import open_bundle
    from engine.training.classes import label_vectors
    from engine.training.datasets import load
    from engine.training.evaluate import evaluate as measure

    settings = load_settings(model=model)
    bundle = open_bundle(settings.model, settings.cache)
    recipe = bundle.spec.card.get("recipe", {})
    own = recipe.get("seed", 0)
    seed = own if seed is None else seed
    measured = load(dataset, data, seed=seed, has_vector=bundle.words.knows)
    silent = int((~label_vectors(measured.tags, bundle.words).any(axis=1)).sum())
    if silent:
        click.echo(
            f"Note: {silent} of {len(measured.tags)} tags have no word vector; their figures are chance.", err=True
        )
    result = measure(bundle, measured, split)
    if recipe.get("dataset") == "everyday" and dataset == "corel5k":
        click.echo("Note: the everyday mix holds all photos of Corel5k, so these were trained on.", err=True)
    if recipe.get("dataset") == dataset and seed != own:
        click.echo(f"Note: trained with seed {own}; photos of its training may be among those of {seed}.", err=True)
    if as_json:
        print_json(result.as_dict())
    else:
        click.echo(result.table())
    if per_class is not None:
        result.write_csv(per_class)
        click.echo(f"Wrote {per_class}", err=True)
