"""Heatmaps: where in a photo a term was found, as numbers and as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from engine.library.region_map import Array, Grid
from engine.search.boxes import Box, boxes

if TYPE_CHECKING:
    from PIL.Image import Image

# Colours of equal perceptual steps from violet to yellow, told apart by every kind of colour vision: anchor points of
# Matplotlib's viridis (Smith, van der Walt, Firing 2015, public domain).
_VIRIDIS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))
_STRONGEST = 0.75  # opacity of the hottest region


@dataclass(frozen=True)
class TermMap:
    """Region scores of one term over a photo.

    `heat` (rows, cols) is 0 where the term scores no higher than on background photos and 1 where it is found for
    sure. `box` (x, y, width, height), in fractions of the upright photo, is around the regions that belong to the best.
    """

    term: str
    grid: Grid
    scores: Array  # (rows, cols)
    heat: Array  # (rows, cols)
    best: tuple[int, int]  # row and column of the highest score
    box: Box


def explain(term: str, grid: Grid, scores: Array, background: float, deviation: float = 0.0) -> TermMap:
    """The heatmap of one term from its region scores (R,).

    `background` and `deviation` describe its region scores over background photos. Heat begins one deviation above
    the background and is full at the photo's best region, or at four deviations where the photo has nothing as good.
    """
    over = scores.reshape(grid.rows, grid.cols).astype(np.float32)
    floor = background + deviation
    ceiling = max(float(over.max()), background + 4 * deviation)
    heat = np.clip((over - floor) / max(ceiling - floor, 1e-6), 0, 1)
    row, col = divmod(int(over.argmax()), grid.cols)
    (box,) = boxes(over.reshape(1, -1), grid, background)
    return TermMap(term, grid, over, heat, (row, col), box)


def overlay(maps: Sequence[TermMap], size: tuple[int, int]) -> "Image":
    """The heat of all terms as a transparent RGBA picture of `size` (width, height)."""
    from PIL import Image

    heat = np.max([term.heat for term in maps], axis=0)
    smooth = Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
    return Image.fromarray(colours(np.clip(np.asarray(smooth), 0, 1)), "RGBA")


def colours(heat: Array) -> NDArray[np.uint8]:
    """Heat (…) in 0…1 → RGBA (…, 4); no heat is transparent."""
    anchors = np.linspace(0, 1, len(_VIRIDIS))
    channels = [np.interp(heat, anchors, [colour[c] for colour in _VIRIDIS]) for c in range(3)]
    opacity = 255 * _STRONGEST * np.sqrt(heat)
    return np.stack([*channels, opacity], axis=-1).round().astype(np.uint8)


def draw(photo: "Image", maps: Sequence[TermMap]) -> "Image":
    """The photo with the heat of all terms over it and a box around the best regions of each."""
    from PIL import ImageDraw

    picture = photo.convert("RGB")
    heat = overlay(maps, picture.size)
    picture.paste(heat.convert("RGB"), mask=heat.getchannel("A"))
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    line = max(2, min(width, height) // 150)
    for term in maps:
        x, y, w, h = term.box
        corners = (x * width, y * height, (x + w) * width - 1, (y + h) * height - 1)
        pen.rectangle(corners, outline=(0, 0, 0), width=line + 2)
        pen.rectangle(corners, outline=(255, 255, 255), width=line)
        if term.term:
            pen.text(
                (corners[0] + 2 * line, corners[1] + 2 * line),
                term.term,
                fill=(255, 255, 255),
                stroke_width=2,
                stroke_fill=(0, 0, 0),
                font_size=max(12, min(width, height) // 20),
            )
    return picture
