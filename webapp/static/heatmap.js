// Draws heat over a photo: colours of equal perceptual steps (viridis) for one term, a colour of its own for each of
// several (Okabe and Ito's, told apart by every kind of colour vision), transparent where there is nothing.

const VIRIDIS = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
const TERMS = [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [213, 94, 0], [204, 121, 167]];
const STRONGEST = 0.75; // opacity of the hottest region
const LONGEST = 480; // pixels of the longest side

const ramp = (anchors) =>
  Uint8ClampedArray.from({ length: 256 * 4 }, (_, i) => {
    const heat = Math.floor(i / 4) / 255;
    if (i % 4 === 3) return 255 * STRONGEST * Math.sqrt(heat);
    if (anchors.length === 1) return anchors[0][i % 4];
    const place = heat * (anchors.length - 1);
    const low = Math.min(Math.floor(place), anchors.length - 2);
    return anchors[low][i % 4] + (place - low) * (anchors[low + 1][i % 4] - anchors[low][i % 4]);
  });
const ALONE = ramp(VIRIDIS);
const AMONG = TERMS.map((colour) => ramp([colour]));

// Catmull-Rom weights of the four neighbours of a point `t` between the middle two.
const weights = (t) => [
  t * (-0.5 + t * (1 - 0.5 * t)),
  1 + t * t * (-2.5 + 1.5 * t),
  t * (0.5 + t * (2 - 1.5 * t)),
  t * t * (-0.5 + 0.5 * t),
];

// For each of `size` pixels along a side of `cells` regions: which regions count, and how much.
function taps(size, cells) {
  return Array.from({ length: size }, (_, i) => {
    const place = ((i + 0.5) * cells) / size - 0.5;
    const low = Math.floor(place);
    const near = [-1, 0, 1, 2].map((d) => Math.min(Math.max(low + d, 0), cells - 1));
    return [near, weights(place - low)];
  });
}

// Heat of several terms: the highest in each place.
export function hottest(maps) {
  return maps[0].map((row, r) => row.map((_, c) => Math.max(...maps.map((heat) => heat[r][c]))));
}

// `term` is the place of the term among several; null for heat that stands alone.
export function draw(canvas, heat, width, height, term = null) {
  const colours = term === null ? ALONE : AMONG[term % AMONG.length];
  const scale = LONGEST / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  const picture = context.createImageData(canvas.width, canvas.height);
  const across = taps(canvas.width, heat[0].length);
  const rows = heat.map((row) => across.map(([near, w]) => near.reduce((sum, c, k) => sum + row[c] * w[k], 0)));
  let at = 0;
  for (const [near, w] of taps(canvas.height, heat.length)) {
    const [a, b, c, d] = near.map((r) => rows[r]);
    for (let x = 0; x < canvas.width; x++, at += 4) {
      const value = a[x] * w[0] + b[x] * w[1] + c[x] * w[2] + d[x] * w[3];
      const colour = 4 * Math.round(255 * Math.min(Math.max(value, 0), 1));
      for (let k = 0; k < 4; k++) picture.data[at + k] = colours[colour + k];
    }
  }
  context.putImageData(picture, 0, 0);
}
