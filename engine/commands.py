"""`unseen search`, `explain`, `tags` and `models`. None of them imports torch before a photo has to be looked at."""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.errors import BundleError, UnseenError
from engine.options import Share, json_option, library_option, model_option
from engine.printing import print_json
from engine.settings import load_settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from engine.library.region_map import RegionMap
    from engine.search.cursor import Sort
    from engine.search.results import Results
    from engine.search.searcher import Searcher


class _Searching(click.Command):
    """A command whose query may begin with -word, which click would take for a row of short options, such as -h."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """What begins with one - and is no option is the query, and goes to the end."""
        valued = {name for one in self.params if isinstance(one, click.Option) and not one.is_flag for name in one.opts}
        pairs = enumerate(zip(["", *args], args, strict=False))
        found = [i for i, (before, it) in pairs if before not in valued and re.match("-[^-]", it) and it != "-h"]
        if found and "--" not in args:
            args = [*args[: found[0]], *args[found[0] + 1 :], "--", args[found[0]]]
        return super().parse_args(ctx, args)


@click.command(cls=_Searching)
@click.argument("query", required=False)
@click.option(
    "--like", type=click.Path(path_type=Path), metavar="IMAGE", help="Find photos that show what this image shows."
)
@click.option("--top", type=click.IntRange(min=0), default=20, show_default=True, help="How many photos; 0 means all.")
@click.option("--min-confidence", type=Share(), help="Leave out photos below this; the model has a default.")
@click.option("--sort", type=click.Choice(["relevance", "date"]), default="relevance", show_default=True)
@click.option("--exact", is_flag=True, help="Insist on a proven ranking and an exact total, whatever they cost.")
@library_option
@model_option
@json_option
def search(
    query: str | None,
    like: Path | None,
    top: int,
    min_confidence: float | None,
    sort: str,
    exact: bool,
    library: Path | None,
    model: str | None,
    as_json: bool,
) -> None:
    """Find photos by words, by an image, or by both; prints score and path, best first.

    Where few photos are sure, guesses join them, and how many is said beside the list; --json tells which.

    \b
    Examples: unseen search elephant
              unseen search '"traffic light" -car after:2023' --top 5
              unseen search --like holiday.jpg
              unseen search --like holiday.jpg sunset
    """
    if query is None and like is None:
        raise click.UsageError("Name a QUERY, or an image with --like.")
    searcher = _searcher(library, model)
    searcher.frugal = True
    order: Sort = "date" if sort == "date" else "relevance"
    if like is not None:
        from engine.search.similar import search_like

        seen = _look_at(searcher, like)[1]
        results = search_like(
            searcher, seen, query or "", top=top, min_confidence=min_confidence, sort=order, fold=as_json
        )
    else:
        results = searcher.search(
            query or "", top=top, min_confidence=min_confidence, sort=order, exact=exact, fold=as_json
        )
    if as_json:
        from engine.search.serialise import results_to_json

        print_json(results_to_json(results))
    else:
        _print_results(results)


@click.command()
@click.argument("query")
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="PNG to write; here, named after IMAGE, if left out.")
@library_option
@model_option
@json_option
def explain(
    query: str, image: Path, output: Path | None, library: Path | None, model: str | None, as_json: bool
) -> None:
    """Show where in a photo the words of a query are found, as a heatmap over the photo.

    The photo need not be in the library.

    \b
    Example: unseen explain zebra safari.jpg --output zebra.png
    """
    searcher = _searcher(library, model)
    region_map, _ = _look_at(searcher, image)
    explanation = searcher.explain(query, region_map)
    if as_json:
        from engine.search.serialise import explanation_to_json

        print_json(explanation_to_json(explanation))
        if output is None:
            return
    from engine.photo import load_upright
    from engine.search.explain import draw

    output = output or Path(f"{image.stem}.heatmap.png")
    if output.exists() and image.exists() and output.samefile(image):
        raise UnseenError(f"{output} is the photo itself", "Name another file with --output")
    wanted = [term for term, info in zip(explanation.terms, explanation.infos, strict=True) if info.weight > 0]
    picture = draw(load_upright(image, 1600), wanted)
    try:
        picture.save(output, "PNG")
    except (OSError, ValueError) as error:
        raise UnseenError(f"Cannot write {output}: {error}", "Name another file with --output") from None
    click.echo(f"Wrote {output}", err=True)


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="How many tags; 0 means all.")
@library_option
@model_option
@json_option
def tags(image: Path, top: int, library: Path | None, model: str | None, as_json: bool) -> None:
    """Name what a photo most likely shows, with confidence.

    \b
    Example: unseen tags safari.jpg --top 5
    """
    searcher = _searcher(library, model)
    _, class_scores = _look_at(searcher, image)
    found = searcher.tags(class_scores, top)
    if as_json:
        print_json({"items": [{"tag": tag.tag, "confidence": round(tag.confidence, 4)} for tag in found]})
        return
    for tag in found:
        click.echo(f"{tag.confidence:.2f}\t{tag.tag}")


@click.group()
def models() -> None:
    """Bundles on this machine."""


@models.command("list")
@json_option
def models_list(as_json: bool) -> None:
    """List the bundles that can be named with --model.

    \b
    Example: unseen models list
    """
    from engine.model.bundle import Bundle, shelves

    cache = load_settings().cache
    bundles = []
    for path in [path for shelf in shelves(cache) for path in sorted(shelf.glob("*/bundle.json"))]:
        try:
            bundles.append(Bundle(path.parent, cache))
        except BundleError as error:
            click.echo(f"unseen: {error}", err=True)
    if as_json:
        print_json({"items": [{"name": b.folder.name, "path": str(b.folder), "tags": len(b.tags)} for b in bundles]})
        return
    for bundle in bundles:
        click.echo(f"{bundle.folder.name}\t{len(bundle.tags)} tags\t{bundle.folder}")


@models.command("show")
@click.argument("name")
def models_show(name: str) -> None:
    """Print the card of a bundle: what it is, how it was made, what was measured.

    \b
    Example: unseen models show lite
    """
    from engine.model.bundle import open_bundle

    click.echo(open_bundle(name, load_settings().cache).spec.to_json(), nl=False)


@models.command("pull")
@click.argument("address", metavar="URL")
@click.option("--name", help="Name to call it by; its own if left out.")
def models_pull(address: str, name: str | None) -> None:
    """Fetch a bundle that somebody made: a zip archive of its folder, from a web address or a file.

    \b
    Example: unseen models pull https://example.org/birds.zip
    """
    from engine.model.pull import pull

    bundle = pull(address, load_settings().cache, name)
    click.echo(f"{bundle.folder.name}\t{len(bundle.tags)} tags\t{bundle.folder}")


@models.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", help="Name of the bundle; the name of the file if left out.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write; one that --model finds if left out.")
@click.option(
    "--words",
    default="gensim:glove-wiki-gigaword-300",
    show_default=True,
    help="Word vectors it was trained with: gensim:NAME, package:NAME or a file.",
)
@click.option("--photos", type=click.Path(path_type=Path), help="Folder of photos to measure it on; recommended.")
@click.option("--tags", "tags_file", type=click.Path(path_type=Path), help="Tags it was trained with, one a line.")
@click.option("--heads", type=click.IntRange(min=1), default=8, show_default=True, help="Heads of its attention.")
@click.option(
    "--backbone-weights",
    default="timm",
    show_default=True,
    metavar="FILE",
    help="VGG-19 weights: a file, timm's download, or none (random, to try the import).",
)
def models_import(
    file: Path,
    name: str | None,
    out: Path | None,
    words: str,
    photos: Path | None,
    tags_file: Path | None,
    heads: int,
    backbone_weights: str,
) -> None:
    """Make a bundle from a checkpoint that the authors of BiAM released.

    \b
    Example: unseen models import model_best.pth --name biam-nus --photos ~/Pictures
    """
    from dataclasses import replace

    from engine.model.official import VGG19, default_name, import_checkpoint
    from engine.training.datasets.files import lines
    from engine.training.run import labels_for
    from engine.words.vectors import open_word_vectors

    cache = load_settings().cache
    name = name or default_name(file)
    folder = out or cache / "bundles" / name
    vectors = open_word_vectors(words, cache)
    listed = lines(tags_file) if tags_file is not None else []
    tags = [tag for tag in listed if vectors.knows(tag)]
    import_checkpoint(
        file,
        folder,
        (words, vectors),
        name=name,
        tags=tags,
        labels=labels_for(tags, vectors),
        photos=photos,
        heads=heads,
        backbone=replace(VGG19, weights=backbone_weights),
    )
    if len(tags) < len(listed):
        click.echo(f"{len(listed) - len(tags)} of {len(listed)} tags have no word vector and are left out.", err=True)
    if photos is None:
        click.echo("Measured on generated pictures; import again with --photos FOLDER for real ones.", err=True)
    click.echo(f"Wrote the bundle {folder}", err=True)


def _searcher(library: Path | None, model: str | None) -> "Searcher":
    from engine.search.searcher import open_searcher

    settings = load_settings(library=library, model=model)
    return open_searcher(settings.library, settings.chosen_model, settings.cache)


def _look_at(searcher: "Searcher", image: Path) -> "tuple[RegionMap, NDArray[np.float16]]":
    """Region map and class scores of a photo: from the library if it is there unchanged, else from its pixels."""
    from engine.library.records import FileStamp

    try:
        status = image.stat()
    except OSError as error:
        raise UnseenError(f"Cannot read the photo {image}: {error.strerror}") from None
    photo = searcher.store.photo_at(os.path.abspath(image))  # noqa: PTH100  (resolve() would follow symlinks)
    if photo is not None and photo.stamp == FileStamp.of(status):
        region_map = searcher.store.region_map(photo.id)
        _, class_scores = searcher.store.class_scores([photo.id])
        if region_map is not None and len(class_scores):
            return region_map, class_scores[0]
    from engine.model.encoder import RegionEncoder
    from engine.photo import load_square

    encoder = RegionEncoder.open(searcher.bundle)
    return encoder.encode(load_square(image, encoder.input_size)[None])[0]


def _print_results(results: "Results") -> None:
    """A line for each hit, whose path keeps its bytes; what else is to be said goes to standard error."""
    guesses = sum(hit.guess for hit in results.hits)
    if guesses:
        sure = len(results.hits) - guesses
        click.echo(f"{guesses} of these are guesses." if sure else "Nothing is sure: these are guesses.", err=True)
    sys.stdout.flush()
    for hit in results.hits:
        sys.stdout.buffer.write(f"{hit.score:.4f}\t".encode() + os.fsencode(hit.photo.path) + b"\n")
    for info in results.terms:
        if info.did_you_mean:
            click.echo(f"“{info.term}” is rare. Did you mean {', '.join(info.did_you_mean)}?", err=True)
    if not results.hits:
        click.echo("Nothing found. Try another word, or --min-confidence 0 to see the nearest photos.", err=True)
