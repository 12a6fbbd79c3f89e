"""A reliability diagram as SVG: how often confidence is right, beside how often it says it is."""

from collections.abc import Sequence
from pathlib import Path

SIDE, MARGIN = 320, 44


def reliability(bins: Sequence[tuple[float, float, int]], path: Path) -> None:
    """Write the diagram of (mean confidence, share that is right, number of pairs) to `path`."""

    def x(value: float) -> float:
        return round(MARGIN + value * SIDE, 1)

    def y(value: float) -> float:
        return round(MARGIN / 2 + (1 - value) * SIDE, 1)

    ticks = [i / 5 for i in range(6)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE + 2 * MARGIN} {SIDE + 2 * MARGIN}" '
        'font-family="sans-serif" font-size="12" fill="#555">',
        f'<rect x="{x(0)}" y="{y(1)}" width="{SIDE}" height="{SIDE}" fill="#fff" stroke="#bbb"/>',
        f'<path d="M{x(0)} {y(0)}L{x(1)} {y(1)}" stroke="#bbb" stroke-dasharray="4 4"/>',
        *(f'<text x="{x(t)}" y="{y(0) + 18}" text-anchor="middle">{t:g}</text>' for t in ticks),
        *(f'<text x="{x(0) - 8}" y="{y(t) + 4}" text-anchor="end">{t:g}</text>' for t in ticks),
        f'<text x="{x(0.5)}" y="{y(0) + 38}" text-anchor="middle">confidence</text>',
        f'<text transform="translate(12 {y(0.5)}) rotate(-90)" text-anchor="middle">share that is right</text>',
        f'<polyline points="{" ".join(f"{x(said)},{y(right)}" for said, right, _ in bins)}" fill="none" '
        'stroke="#31688e" stroke-width="2"/>',
    ]
    for said, right, count in bins:
        parts.append(f'<circle cx="{x(said)}" cy="{y(right)}" r="4" fill="#31688e"/>')
        below = y(right) + (-10 if right < 0.9 else 18)
        parts.append(f'<text x="{x(said)}" y="{below}" text-anchor="middle" fill="#333">{count:,}</text>')
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")
