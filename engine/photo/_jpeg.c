/* Decodes a JPEG at an eighth of its size, in a third of the time that libjpeg takes, to the same pixels.

   At that scale the mean of a block of 8×8 pixels is all that is needed of it: its first coefficient. The others still
   have to be passed over, and that is where the time goes. Here a table lookup passes over several of them at once.

   Only what nearly every camera writes is read: baseline, Huffman codes, one scan, grey or YCbCr, whole to its last
   marker. Of anything else, and of anything that is damaged, `eighth` says None, and libjpeg's word counts. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GNUC__) && defined(__GLIBC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=haswell", "default"))) /* chosen when loaded */
#else
#define CLONES
#endif

#define LOOK 11 /* bits that are looked up at once */
#define ENDS 100 /* more than the places of a block: what is added to an advance where the block ends */
#define UNSEEN 255 /* the advance where a code is longer than what is seen of it */

typedef struct {
    uint16_t symbols[1 << LOOK]; /* length << 8 | symbol; 0 where the code is longer */
    uint16_t strides[1 << LOOK]; /* advance << 8 | bits, of all coefficients whose codes are seen */
    int32_t last[17], offset[17]; /* of each length: the code after the last one; what leads from a code to its value */
    uint8_t values[256];
    int there;
} Codes;

typedef struct {
    int h, v, scale, table; /* sampling factors; pixels a block has at the eighth, 1 or 2 a side; quantisation table */
    int wide, high;         /* how often a pixel is repeated */
    const Codes *dc, *ac;
    int before;    /* the first coefficient of the block before */
    int width;     /* pixels in a row of the plane */
    uint8_t *plane; /* one row of MCUs */
} Component;

typedef struct {
    const uint8_t *at, *end;
    uint64_t bits; /* the next one is the highest */
    int held, lent; /* bits, and those of them that were made up beyond the end */
} Reader;

typedef struct {
    Codes codes[2][4]; /* for first coefficients and for others */
    uint16_t quantum[4][64];
    int quanta; /* a bit for each of those that are there */
    Component components[3];
    int count, ids[3], width, height, interval, h, v;
    int jfif, adobe; /* whether there is such a header; -1 or what it says of colours */
    Reader reader;
} Picture;

static const uint8_t NATURAL[64] = { /* from the order in the file to that by rows */
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63
};

/* Headers. Each takes the `size` bytes of its segment and returns whether they are as they should be. */

static int sixteen(const uint8_t *at) { return at[0] << 8 | at[1]; }

static int read_codes(Picture *picture, const uint8_t *at, int size)
{
    while (size > 0) {
        if (size < 17 || at[0] >> 4 > 1 || (at[0] & 15) > 3) return 0;
        Codes *codes = &picture->codes[at[0] >> 4][at[0] & 15];
        int total = 0, code = 0, place = 0;
        for (int length = 1; length <= 16; length++) total += at[length];
        if (total > 256 || size < 17 + total) return 0;
        memset(codes, 0, sizeof *codes);
        memcpy(codes->values, at + 17, total);
        for (int length = 1; length <= 16; length++, code <<= 1) {
            codes->offset[length] = place - code;
            for (int i = 0; i < at[length]; i++, code++, place++) {
                if ((codes->values[place] & 15) > 11 - (at[0] >> 4)) return 0; /* bits of a number */
                if (length <= LOOK && code < 1 << length)
                    for (int rest = 0; rest < 1 << (LOOK - length); rest++)
                        codes->symbols[code << (LOOK - length) | rest] = length << 8 | codes->values[place];
            }
            if (code > 1 << length) return 0;
            codes->last[length] = at[length] ? code : 0;
        }
        for (int seen = 0; seen < 1 << LOOK; seen++) {
            int used = 0, advance = 0;
            for (;;) {
                int symbol = used < LOOK ? codes->symbols[seen << used & ((1 << LOOK) - 1)] : 0;
                int length = symbol >> 8, extra = symbol & 15, run = symbol >> 4 & 15;
                if (!length || used + length > LOOK) break;
                if (!extra && run != 15) { /* the end of the block */
                    used += length, advance += ENDS;
                    break;
                }
                if (advance + run + 1 >= ENDS - 1) break;
                used += length + extra, advance += run + 1;
            }
            codes->strides[seen] = used ? advance << 8 | used : UNSEEN << 8;
        }
        codes->there = 1;
        at += 17 + total, size -= 17 + total;
    }
    return 1;
}

static int read_quanta(Picture *picture, const uint8_t *at, int size)
{
    for (; size > 0; at += 65, size -= 65) {
        if (size < 65 || at[0] > 3) return 0; /* of 8 bits, as baseline has them */
        for (int i = 0; i < 64; i++) picture->quantum[at[0]][NATURAL[i]] = at[1 + i];
        picture->quanta |= 1 << at[0];
    }
    return 1;
}

static int read_frame(Picture *picture, const uint8_t *at, int size)
{
    if (picture->count || size < 6 || at[0] != 8) return 0;
    picture->height = sixteen(at + 1), picture->width = sixteen(at + 3);
    int count = at[5];
    if ((count != 1 && count != 3) || size != 6 + 3 * count || !picture->width || !picture->height) return 0;
    for (int i = 0; i < count; i++, at += 3) {
        Component *component = &picture->components[i];
        picture->ids[i] = at[6], component->h = at[7] >> 4, component->v = at[7] & 15, component->table = at[8];
        if (component->h < 1 || component->h > 4 || component->v < 1 || component->v > 4 || at[8] > 3) return 0;
        if (count == 1) component->h = component->v = 1;
        if (component->h > picture->h) picture->h = component->h;
        if (component->v > picture->v) picture->v = component->v;
    }
    for (int i = 0; i < count; i++) { /* as libjpeg does it: a coarser component may have twice the pixels a block */
        Component *component = &picture->components[i];
        int h = component->h, v = component->v, scale = 1;
        while (scale < 8 && picture->h % (h * scale * 2) == 0 && picture->v % (v * scale * 2) == 0) scale *= 2;
        if (scale > 2 || picture->h % (h * scale) || picture->v % (v * scale)) return 0;
        component->scale = scale;
        component->wide = picture->h / (h * scale), component->high = picture->v / (v * scale);
    }
    picture->count = count;
    return 1;
}

static int read_scan(Picture *picture, const uint8_t *at, int size)
{
    int count = picture->count;
    if (!count || size != 4 + 2 * count || at[0] != count) return 0;
    for (int i = 0; i < count; i++) {
        Component *component = &picture->components[i];
        int dc = at[2 + 2 * i] >> 4, ac = at[2 + 2 * i] & 15;
        if (at[1 + 2 * i] != picture->ids[i] || dc > 3 || ac > 3) return 0;
        component->dc = &picture->codes[0][dc], component->ac = &picture->codes[1][ac];
        if (!component->dc->there || !component->ac->there || !(picture->quanta >> component->table & 1)) return 0;
    }
    at += 1 + 2 * count;
    return at[0] == 0 && at[1] == 63 && at[2] == 0;
}

/* Everything before the coefficients; returns whether it is a picture of the kind that is read here. */
static int read_headers(Picture *picture, const uint8_t *data, size_t size)
{
    const uint8_t *at = data + 2, *end = data + size;
    if (size < 4 || data[0] != 0xFF || data[1] != 0xD8) return 0;
    picture->adobe = -1;
    for (;;) {
        while (end - at >= 2 && at[0] == 0xFF && at[1] == 0xFF) at++;
        if (end - at < 4 || at[0] != 0xFF) return 0;
        int marker = at[1], length = sixteen(at + 2);
        if (length < 2 || end - at < 2 + length) return 0;
        const uint8_t *segment = at + 4;
        at += 2 + length, length -= 2;
        if (marker == 0xC4) {
            if (!read_codes(picture, segment, length)) return 0;
        } else if (marker == 0xDB) {
            if (!read_quanta(picture, segment, length)) return 0;
        } else if (marker == 0xC0) {
            if (!read_frame(picture, segment, length)) return 0;
        } else if (marker == 0xDD) {
            if (length != 2) return 0;
            picture->interval = sixteen(segment);
        } else if (marker == 0xE0) {
            picture->jfif |= length >= 14 && memcmp(segment, "JFIF", 5) == 0;
        } else if (marker == 0xEE) {
            if (length >= 12 && memcmp(segment, "Adobe", 5) == 0) picture->adobe = segment[11];
        } else if (marker == 0xDA) {
            picture->reader.at = at, picture->reader.end = end;
            const int *ids = picture->ids;
            int ycc = picture->jfif || picture->adobe == 1 ||
                      (picture->adobe == -1 && ids[0] == 1 && ids[1] == 2 && ids[2] == 3);
            return (picture->count == 1 || ycc) && read_scan(picture, segment, length);
        } else if (!(marker >= 0xE1 && marker <= 0xEF) && marker != 0xFE) {
            return 0;
        }
    }
}

/* Coefficients */

static void fill_slowly(Reader *reader)
{
    while (reader->held <= 56) {
        uint64_t byte = 0;
        const uint8_t *at = reader->at;
        if (at < reader->end && *at != 0xFF)
            byte = *at, reader->at++;
        else if (reader->end - at >= 2 && at[1] == 0)
            byte = 0xFF, reader->at += 2;
        else
            reader->lent += 8; /* a marker, or the end */
        reader->bits |= byte << (56 - reader->held);
        reader->held += 8;
    }
}

/* Makes sure that there are 48 bits. */
static inline void fill(Reader *reader)
{
    if (reader->end - reader->at >= 8) {
        uint64_t next = 0;
        for (int i = 0; i < 8; i++) next = next << 8 | reader->at[i];
        if (!((~next - 0x0101010101010101u) & next & 0x8080808080808080u)) { /* no byte is 0xFF */
            int bytes = (63 - reader->held) >> 3;
            reader->bits |= next >> reader->held;
            reader->at += bytes, reader->held += 8 * bytes;
            if (reader->held < 64) reader->bits &= ~(uint64_t)0 << (64 - reader->held);
            return;
        }
    }
    fill_slowly(reader);
}

static inline void drop(Reader *reader, int count) { reader->bits <<= count, reader->held -= count; }

/* The next symbol; -1 for a code that there is not. */
static inline int next_symbol(Reader *reader, const Codes *codes)
{
    int symbol = codes->symbols[reader->bits >> (64 - LOOK)];
    if (symbol) {
        drop(reader, symbol >> 8);
        return symbol & 255;
    }
    for (int length = LOOK + 1; length <= 16; length++) {
        int code = (int)(reader->bits >> (64 - length));
        if (code < codes->last[length]) {
            drop(reader, length);
            return codes->values[(code + codes->offset[length]) & 255];
        }
    }
    return -1;
}

/* A number of `size` bits, 0…15, of which those that begin with 0 are negative. */
static inline int next_number(Reader *reader, int size)
{
    int value = (int)(reader->bits >> 1 >> (63 - size));
    int less = (int)((int64_t)~reader->bits >> 63) & ((1 << size) - 1);
    drop(reader, size);
    return value - less;
}

/* The first coefficient of the next block; returns whether it could be read. */
static inline int first_of_block(Reader *reader, Component *component)
{
    fill(reader);
    int size = next_symbol(reader, component->dc);
    if (size < 0 || size > 11) return 0;
    component->before += next_number(reader, size);
    return component->before >= -32768 && component->before <= 32767;
}

/* Passes over the rest of a block; returns whether that could be done. Most of all time is spent here. */
static inline int pass_over_others(Reader *reader, const Codes *codes)
{
    Reader here = *reader; /* which the compiler may keep in registers */
    for (int k = 1; k < 64;) {
        fill(&here);
        for (int twice = 0; twice < 2; twice++) { /* 48 bits are enough for that */
            int stride = codes->strides[here.bits >> (64 - LOOK)], next = k + (stride >> 8);
            if (next >= 64 && next != 64 && (next < ENDS || next >= ENDS + 64)) {
                int symbol = next_symbol(&here, codes);
                if (symbol < 0) return 0;
                next = symbol & 15 || symbol >> 4 == 15 ? k + (symbol >> 4) + 1 : ENDS;
                if (next > 64 && next != ENDS) return 0;
                drop(&here, symbol & 15);
                k = next;
                break;
            }
            drop(&here, stride & 63);
            k = next;
            if (k >= 64) break;
        }
    }
    *reader = here;
    return 1;
}

static inline int read_others(Reader *reader, const Codes *codes, const uint16_t *quantum, int *block)
{
    for (int k = 1; k < 64; k++) {
        fill(reader);
        int symbol = next_symbol(reader, codes), size = symbol & 15;
        if (symbol < 0) return 0;
        if (!size && symbol >> 4 != 15) break;
        k += symbol >> 4;
        if (k > 63) return 0;
        int value = next_number(reader, size);
        block[NATURAL[k]] = value * quantum[NATURAL[k]];
    }
    return 1;
}

static uint8_t pixel(int value) { return value < -128 ? 0 : value > 127 ? 255 : (uint8_t)(value + 128); }

/* What a column or row of 8 coefficients is at two places, less what the first one adds; libjpeg's jidctred.c. */
static int64_t odd_part(const int *at, int step)
{
    return (int64_t)29692 * at[step] - (int64_t)10426 * at[3 * step] + (int64_t)6967 * at[5 * step] -
           (int64_t)5906 * at[7 * step];
}

static void two_by_two(const int *block, uint8_t *pixels, int width)
{
    static const int columns[5] = {0, 1, 3, 5, 7};
    int rows[2][8] = {{0}};
    for (int i = 0; i < 5; i++) {
        const int *column = block + columns[i];
        int64_t even = (int64_t)column[0] * (1 << 15), odd = odd_part(column, 8);
        rows[0][columns[i]] = (int)((even + odd + (1 << 12)) >> 13);
        rows[1][columns[i]] = (int)((even - odd + (1 << 12)) >> 13);
    }
    for (int i = 0; i < 2; i++) {
        int64_t even = (int64_t)rows[i][0] * (1 << 15), odd = odd_part(rows[i], 1);
        pixels[i * width] = pixel((int)((even + odd + (1 << 19)) >> 20));
        pixels[i * width + 1] = pixel((int)((even - odd + (1 << 19)) >> 20));
    }
}

/* The next block; returns whether it could be read. */
static int read_block(Reader *reader, Component *component, const uint16_t *quantum, uint8_t *pixels)
{
    if (!first_of_block(reader, component)) return 0;
    if (component->scale == 1) {
        *pixels = pixel((component->before * quantum[0] + 4) >> 3);
        return pass_over_others(reader, component->ac);
    }
    int block[64] = {0};
    block[0] = component->before * quantum[0];
    if (!read_others(reader, component->ac, quantum, block)) return 0;
    two_by_two(block, pixels, component->width);
    return 1;
}

/* Whether the coefficients end here, before this marker, and none was made up. */
static int ends_with(Reader *reader, int marker)
{
    const uint8_t *at = reader->at;
    if (reader->lent > reader->held || reader->held - reader->lent >= 8) return 0;
    while (reader->end - at >= 2 && at[0] == 0xFF && at[1] == 0xFF) at++;
    if (reader->end - at < 2 || at[0] != 0xFF || at[1] != marker) return 0;
    reader->at = at + 2;
    reader->bits = reader->held = reader->lent = 0;
    return 1;
}

/* Row `y` of a row of MCUs, as grey or RGB. */
static void write_row(const Picture *picture, int y, int width, uint8_t *out)
{
    const Component *part = picture->components;
    const uint8_t *luma = part[0].plane + y / part[0].high * part[0].width;
    if (picture->count == 1) {
        memcpy(out, luma, width);
        return;
    }
    const uint8_t *blues = part[1].plane + y / part[1].high * part[1].width;
    const uint8_t *reds = part[2].plane + y / part[2].high * part[2].width;
    for (int x = 0; x < width; x++, out += 3) {
        int light = luma[x / part[0].wide], blue = blues[x / part[1].wide] - 128, red = reds[x / part[2].wide] - 128;
        int rgb[3] = {light + ((91881 * red + 32768) >> 16), light + ((-22554 * blue - 46802 * red + 32768) >> 16),
                      light + ((116130 * blue + 32768) >> 16)};
        for (int i = 0; i < 3; i++) out[i] = rgb[i] < 0 ? 0 : rgb[i] > 255 ? 255 : (uint8_t)rgb[i];
    }
}

/* All pixels, ceil(width / 8) × ceil(height / 8) of them; returns whether they could be read. */
CLONES static int read_pixels(Picture *picture, uint8_t *out)
{
    int columns = (picture->width + 8 * picture->h - 1) / (8 * picture->h);
    int rows = (picture->height + 8 * picture->v - 1) / (8 * picture->v);
    int width = (picture->width + 7) / 8, height = (picture->height + 7) / 8;
    int until_restart = picture->interval, restarts = 0;
    Reader *reader = &picture->reader;
    for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
            if (picture->interval && until_restart-- == 0) {
                if (!ends_with(reader, 0xD0 + (restarts++ & 7))) return 0;
                for (int i = 0; i < picture->count; i++) picture->components[i].before = 0;
                until_restart = picture->interval - 1;
            }
            for (int i = 0; i < picture->count; i++) {
                Component *part = &picture->components[i];
                for (int v = 0; v < part->v; v++)
                    for (int h = 0; h < part->h; h++) {
                        uint8_t *at = part->plane + part->scale * ((size_t)v * part->width + column * part->h + h);
                        if (!read_block(reader, part, picture->quantum[part->table], at)) return 0;
                    }
            }
            if (reader->lent > reader->held) return 0;
        }
        for (int y = 0; y < picture->v && row * picture->v + y < height; y++)
            write_row(picture, y, width, out + (size_t)(row * picture->v + y) * width * picture->count);
    }
    return ends_with(reader, 0xD9);
}

/* Python */

/* eighth(data) → (width, height, channels, pixels), or None */
static PyObject *eighth(PyObject *self, PyObject *args)
{
    Py_buffer data;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*", &data)) return NULL;
    PyObject *pixels = NULL, *result = NULL;
    int read = 0, failed = 0;
    Picture *picture = calloc(1, sizeof *picture);
    if (!picture) goto done;
    if (!read_headers(picture, data.buf, data.len)) goto done;
    int width = (picture->width + 7) / 8, height = (picture->height + 7) / 8;
    for (int i = 0; i < picture->count; i++) {
        Component *part = &picture->components[i];
        part->width = (picture->width + 8 * picture->h - 1) / (8 * picture->h) * part->h * part->scale;
        part->plane = malloc((size_t)part->width * part->v * part->scale);
        if (!part->plane) goto done;
    }
    pixels = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)width * height * picture->count);
    if (!pixels) {
        failed = 1;
        goto done;
    }
    uint8_t *out = (uint8_t *)PyBytes_AsString(pixels);
    Py_BEGIN_ALLOW_THREADS
    read = read_pixels(picture, out);
    Py_END_ALLOW_THREADS
    if (read) result = Py_BuildValue("iiiO", width, height, picture->count, pixels), failed = !result;
done:
    Py_XDECREF(pixels);
    if (picture)
        for (int i = 0; i < 3; i++) free(picture->components[i].plane);
    free(picture);
    PyBuffer_Release(&data);
    if (result || failed) return result;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"eighth", eighth, METH_VARARGS, "A JPEG at an eighth of its size: (width, height, channels, pixels), or None."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_jpeg", "JPEGs at an eighth of their size.", -1, methods};

PyMODINIT_FUNC PyInit__jpeg(void)
{
    return PyModule_Create(&module);
}
