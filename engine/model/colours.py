"""How much of each region has which colour, from pixels alone.

A pixel is given to the colours whose examples are nearest in CIELAB (where distances are alike for the eye, and which
needs no training), those of the photo's regions are averaged. So a region map answers "red", which a backbone that
names objects has learned to overlook.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.words.colours import COLOURS

WEIGHT = 4.0  # of a region that is of one colour throughout, where region vectors differ by one or two
_REDUCED = 4  # pixels a side that are averaged before they are named
_NEAR = 8.0  # CIELAB units; how sharply a pixel between two colours is given to the nearer one

# Examples in sRGB: as photos have them in light and shade, and the colours without a word here that they border on.
_EXAMPLES = {
    "red": ((200, 30, 40), (150, 20, 30), (220, 60, 60)),
    "orange": ((240, 130, 30), (220, 100, 40), (255, 160, 60)),
    "yellow": ((240, 220, 50), (220, 190, 40), (250, 240, 120)),
    "green": (
        *((40, 140, 60), (90, 150, 50), (20, 80, 40), (120, 190, 100), (80, 100, 40)),
        *((175, 205, 80), (200, 230, 110)),  # grass in the sun, which nobody calls yellow
    ),
    "blue": ((30, 70, 180), (70, 130, 200), (20, 30, 100), (120, 170, 220), (50, 90, 140)),
    "purple": ((120, 50, 140), (160, 100, 190), (80, 30, 100)),
    "pink": ((240, 130, 170), (230, 90, 150), (250, 180, 200)),
}
_NONE_OF_THEM = (
    *((110, 70, 40), (140, 95, 60), (70, 45, 30), (160, 120, 80)),  # brown
    *((200, 170, 130), (180, 150, 120), (220, 190, 160)),  # tan
    *((10, 10, 10), (30, 30, 32), (60, 60, 62), (90, 90, 92), (130, 130, 130), (170, 170, 172)),  # black and grey
    *((215, 218, 222), (235, 235, 235), (255, 255, 255)),  # white
)


class ColourShares(nn.Module):
    """Photos → WEIGHT times the share of each region that has each of COLOURS."""

    examples: Tensor
    named: Tensor

    def __init__(self, grid: tuple[int, int]) -> None:
        super().__init__()
        self.grid = grid
        rgb = [example for name in COLOURS for example in _EXAMPLES[name]] + list(_NONE_OF_THEM)
        owner = [i for i, name in enumerate(COLOURS) for _ in _EXAMPLES[name]]
        named = torch.zeros(len(rgb), len(COLOURS))
        named[range(len(owner)), owner] = 1
        self.register_buffer("examples", cielab(torch.tensor(rgb, dtype=torch.float32)), persistent=False)  # (E, 3)
        self.register_buffer("named", named, persistent=False)  # (E, 7)

    def forward(self, pixels: Tensor) -> Tensor:
        """Upright pixels (B, S, S, 3), 0…255 → (B, R, 7), regions row by row from the top left."""
        small = functional.avg_pool2d(pixels.permute(0, 3, 1, 2).float(), _REDUCED).permute(0, 2, 3, 1)
        lab = cielab(small)  # (B, S/4, S/4, 3)
        # Squared distances but for what all examples have in common, which the softmax does not see.
        distances = self.examples.square().sum(-1) - 2 * lab @ self.examples.T
        shares = functional.softmax(distances / (-2 * _NEAR**2), dim=-1) @ self.named
        rows, cols = self.grid
        height, width = shares.shape[1] // rows, shares.shape[2] // cols
        regions = functional.avg_pool2d(shares.permute(0, 3, 1, 2), (height, width))  # (B, 7, rows, cols)
        return WEIGHT * regions.flatten(2).transpose(1, 2)


def cielab(rgb: Tensor) -> Tensor:
    """sRGB (…, 3), 0…255 → CIELAB (…, 3), for daylight (D65), by IEC 61966-2-1 and CIE 15."""
    srgb = rgb / 255
    linear = torch.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    to_xyz = linear.new_tensor([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / linear.new_tensor([0.9505, 1.0, 1.089])
    f = torch.where(xyz > 0.008856, xyz.clamp(min=1e-6) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)
