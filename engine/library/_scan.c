/* Scans region maps: pooled scores of many photos, as fast as memory delivers them.

   Layout of a photo in planes (engine/library/planes.py): its R·D codes are split, with D padded to 4·G, as
       code = low[d] + step[d]·a + b,    0 <= a, b < 16,
   and both a and b are packed two to a byte. In group g (four dimensions), byte 4·r + j of H = 4·ceil(R/2) bytes holds
   dimension 4·g + j of region r in its low half and of region r + ceil(R/2) in its high half. So four bytes meet four
   numbers of the query in one instruction, and regions lie side by side.

   A sketch (engine/library/sketch.py) is packed like a coarse plane, with the same low and step for all photos.

   Functions take NumPy's arrays through the buffer protocol, and give up the interpreter's lock while they work. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#define MOST_REGIONS 1024
#define COLUMN (MOST_REGIONS + 2 * LANES) /* numbers of a dimension, in whole vectors */
#define MOST_WIDTH 512
#define MOST_TERMS 16
#define MOST_POOLED 64
#define MOST_THREADS 16
#define COLUMNS 64         /* of scores, side by side */
#define MANY_TERMS 7       /* from which on it pays to score 16 at once */
#define MOST_TOGETHER 256  /* regions whose sums are pooled with those of other terms or photos, and */
#define MOST_LARGEST 8     /* of the largest of them */
#define UNPACKED 32768     /* bytes of a photo, for many terms */
#define PHOTOS_AT_ONCE 256 /* that a thread takes */
#define LANES 16           /* numbers of four bytes in the widest vector */
#define SKETCH_LOW -128    /* a sketch stands for SKETCH_LOW + SKETCH_STEP·a and what the mean of 16 codes lies above it */
#define SKETCH_STEP 16
#define TINY 1e-20f        /* taken for zero */
#define ROUNDING 1e-4f     /* 2^-24 · 127, and room to be safe */
#define AHEAD 16384        /* bytes that are fetched before they are needed, or */
#define LATER 8            /* photos */

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define X86 1
#else
#define X86 0
#endif
#if X86 && defined(__GLIBC__) && !defined(__clang__) /* compiled for several processors, chosen when loaded */
#define CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CLONES
#endif

typedef struct {
    const int8_t *low;       /* (N, W): D padded to whole vectors */
    const uint8_t *step;     /* (N, W) */
    const uint8_t *coarse;   /* (N, G, H): a; without low and step, a sketch */
    const uint8_t *fine;     /* (N, G, H): b; NULL for scores that leave it out */
    const uint8_t *middle;   /* (N, W): the mean of a */
    const float *bounds;     /* (N, 2·S): lost and spread for S numbers of regions */
    const int8_t *codes;     /* (N, R, D) instead of planes, or NULL */
    const int64_t *chosen;   /* (M,) photos, or NULL for all */
    const float *queries;    /* (T, D) */
    const float *squares;    /* (D,): of what a code stands for, or NULL for inner products */
    float *scores, *errors;  /* (M, T) */
    int regions, dims, width, groups, half, terms, top_k, sizes, size;
    int64_t photos, next; /* M; the next one that no thread has taken */
    int vnni, avx2;
} Job;

typedef struct {
    _Alignas(64) float across[MOST_WIDTH * LANES]; /* (W, T): a lane for each term */
    float padded[MOST_TERMS * MOST_WIDTH], length[MOST_TERMS];
    int8_t bytes[MOST_TERMS * MOST_WIDTH]; /* for sketches, that share their units: rounded once for all photos */
    float unit[MOST_TERMS], common[MOST_TERMS];
    float slack[MOST_TERMS]; /* what single precision may round, in the longest sum of products */
} Queries;

/* The mean of the `k` largest of `n` numbers. The same numbers give the same mean, in whatever order they come. */
static float mean_of_largest(const float *scores, int n, int k)
{
    float best[MOST_POOLED];
    int held = 0;
    for (int r = 0; r < n; r++) {
        float s = scores[r];
        if (held == k && s <= best[k - 1]) continue;
        int i = held < k ? held++ : k - 1;
        for (; i > 0 && best[i - 1] < s; i--) best[i] = best[i - 1];
        best[i] = s;
    }
    float sum = 0;
    for (int i = 0; i < held; i++) sum += best[i];
    return sum / held;
}

/* The same for sums of near scores, which hold at most 21 bits. */
CLONES static float mean_of_largest_sums(int32_t *restrict sums, int n, int k)
{
    int64_t sum = 0;
    if (n <= 128) { /* the place makes numbers differ, so each round finds the largest below the last one */
        int32_t last = INT32_MAX;
        for (int r = 0; r < n; r++) sums[r] = sums[r] * 128 + r;
        for (int i = 0; i < k; i++) {
            int32_t largest = INT32_MIN;
            for (int r = 0; r < n; r++) {
                int32_t s = sums[r] < last ? sums[r] : INT32_MIN;
                largest = s > largest ? s : largest;
            }
            sum += largest >> 7;
            last = largest;
        }
        return (float)sum / k;
    }
    int32_t best[MOST_POOLED];
    int held = 0;
    for (int r = 0; r < n; r++) {
        int32_t s = sums[r];
        if (held == k && s <= best[k - 1]) continue;
        int i = held < k ? held++ : k - 1;
        for (; i > 0 && best[i - 1] < s; i--) best[i] = best[i - 1];
        best[i] = s;
    }
    for (int i = 0; i < k; i++) sum += best[i];
    return (float)sum / k;
}

/* Exact scores: regions side by side, dimensions one after the other, so that every route rounds alike. Those of a high
   half of planes begin at a whole vector, as those of a low half do: what is written is read the same way. */

CLONES static void add_dimension(float *restrict scores, const float *restrict column, float q, int n)
{
    n &= -LANES;
    for (int r = 0; r < n; r++) scores[r] += q * column[r];
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BYTE(word, j) ((word) >> (24 - 8 * (j)) & 255)
#else
#define BYTE(word, j) ((word) >> 8 * (j) & 255)
#endif

/* Dimension `j` of four; whole words are read, as bytes that lie apart would be read one by one. */
CLONES static void column_of_planes(float *restrict column, float *restrict upper, const uint8_t *restrict a,
                                    const uint8_t *restrict b, int j, float low, float step, int half)
{
    for (int r = 0; r < half; r++) {
        uint32_t four_a, four_b;
        memcpy(&four_a, a + 4 * r, 4);
        memcpy(&four_b, b + 4 * r, 4);
        int32_t of_a = BYTE(four_a, j), of_b = BYTE(four_b, j);
        column[r] = low + step * (float)(of_a & 15) + (float)(of_b & 15);
        upper[r] = low + step * (float)(of_a >> 4) + (float)(of_b >> 4);
    }
}

CLONES static void column_of_codes(float *restrict column, const int8_t *restrict codes, int dims, int n)
{
    for (int r = 0; r < n; r++) column[r] = codes[(size_t)r * dims];
}

static void exact(const Job *job, int64_t photo, int64_t row)
{
    _Alignas(64) float scores[MOST_TERMS][COLUMN], column[COLUMN];
    int half = job->codes ? job->regions : job->half / 4, start = (half + LANES - 1) & -LANES;
    int lanes = job->codes ? start : 2 * start;
    memset(column, 0, sizeof(float) * lanes);
    for (int t = 0; t < job->terms; t++) memset(scores[t], 0, sizeof(float) * lanes);
    for (int d = 0; d < job->dims; d++) {
        if (job->codes) {
            column_of_codes(column, job->codes + photo * job->regions * job->dims + d, job->dims, job->regions);
        } else {
            size_t place = ((size_t)photo * job->groups + d / 4) * job->half, number = photo * job->width + d;
            column_of_planes(column, column + start, job->coarse + place, job->fine + place, d % 4, job->low[number],
                             job->step[number], half);
        }
        for (int t = 0; t < job->terms; t++)
            add_dimension(scores[t], column, job->queries[(size_t)t * job->dims + d], lanes);
    }
    for (int t = 0; t < job->terms; t++) {
        memmove(scores[t] + half, scores[t] + start, sizeof(float) * (job->regions - half));
        job->scores[row * job->terms + t] = mean_of_largest(scores[t], job->regions, job->top_k);
    }
}

CLONES static void add_squares(float *restrict lengths, const float *restrict column, float square, int n)
{
    n &= -LANES;
    for (int r = 0; r < n; r++) lengths[r] += square * column[r] * column[r];
}

/* The largest cosine of a query, of length 1 and with the squares folded in, with any region. */
static void alike(const Job *job, int64_t photo, int64_t row)
{
    _Alignas(64) float products[COLUMN] = {0}, lengths[COLUMN] = {0}, column[COLUMN] = {0}, best = -1;
    int half = job->half / 4, start = (half + LANES - 1) & -LANES;
    for (int d = 0; d < job->dims; d++) {
        size_t place = ((size_t)photo * job->groups + d / 4) * job->half, number = photo * job->width + d;
        column_of_planes(column, column + start, job->coarse + place, job->fine + place, d % 4, job->low[number],
                         job->step[number], half);
        add_dimension(products, column, job->queries[d], 2 * start);
        add_squares(lengths, column, job->squares[d], 2 * start);
    }
    for (int r = 0; r < job->regions; r++) {
        int lane = r < half ? r : start + r - half;
        float length = sqrtf(lengths[lane]), cosine = products[lane] / (length > TINY ? length : TINY);
        best = cosine > best ? cosine : best;
    }
    job->scores[row] = best;
}

/* Near scores: of `a` alone, in integers. Sums of 4-bit numbers with the rounded query are those of 2·half regions. */

static void sums_plain(const uint8_t *a, const int8_t *query, int groups, int half, int32_t *sums)
{
    int32_t *upper = sums + half;
    for (int r = 0; r < half; r++) sums[r] = upper[r] = 0;
    for (int g = 0; g < groups; g++, a += 4 * half, query += 4)
        for (int r = 0; r < half; r++)
            for (int j = 0; j < 4; j++) {
                sums[r] += query[j] * (a[4 * r + j] & 15);
                upper[r] += query[j] * (a[4 * r + j] >> 4);
            }
}

#if X86
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

/* Add the products of four bytes, not signed, and four signed ones to each sum. */
VNNI static inline __attribute__((always_inline)) void add_products(__m512i *sums, __m512i bytes, __m512i signed_bytes)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(bytes), "v"(signed_bytes)); /* GCC 12 moves the intrinsic's sums */
}

/* Sums of `vectors` of regions (1 to 4), `last` of them in the last one. A byte is low + 16·high, so the sums of high
   halves follow by subtraction. The plane of the photo that comes later is fetched meanwhile, from `later` on. */
VNNI static inline __attribute__((always_inline)) void
sums_of_vectors(int vectors, int last, const uint8_t *a, const uint8_t *later, const int8_t *query, int groups,
                int half, int32_t *sums, int32_t *upper)
{
    const __m512i low = _mm512_set1_epi8(15);
    __mmask16 there = (__mmask16)((1u << last) - 1);
    __m512i lows[4], wholes[4];
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) lows[i] = wholes[i] = _mm512_setzero_si512();
    for (int g = 0; g < groups; g++, a += 4 * half, later += 4 * half) {
        int32_t four;
        memcpy(&four, query + 4 * g, 4);
        __m512i q = _mm512_set1_epi32(four);
#pragma GCC unroll 4
        for (int i = 0; i < vectors; i++) {
            const uint8_t *at = a + 64 * i;
            __m512i packed = i < vectors - 1 ? _mm512_loadu_si512(at) : _mm512_maskz_loadu_epi32(there, at);
            __asm__("" : "+v"(packed)); /* or GCC 12 reads it twice */
            _mm_prefetch((const char *)later + 64 * i, _MM_HINT_T1);
            add_products(&lows[i], _mm512_and_si512(packed, low), q);
            add_products(&wholes[i], packed, q);
        }
    }
#pragma GCC unroll 4
    for (int i = 0; i < vectors; i++) {
        __m512i high = _mm512_srai_epi32(_mm512_sub_epi32(wholes[i], lows[i]), 4);
        __mmask16 kept = i < vectors - 1 ? 0xFFFF : there;
        _mm512_mask_storeu_epi32(sums + 16 * i, kept, lows[i]);
        _mm512_mask_storeu_epi32(upper + 16 * i, kept, high);
    }
}

VNNI static void sums_vnni(const uint8_t *a, const uint8_t *later, const int8_t *query, int groups, int half,
                           int32_t *sums)
{
    int32_t *upper = sums + half;
    int left = half;
    for (; left > 64; left -= 64, a += 256, later += 256, sums += 64, upper += 64)
        sums_of_vectors(4, 16, a, later, query, groups, half, sums, upper);
    switch ((left + 15) / 16) { /* each is compiled for itself, with all sums in registers */
    case 1: sums_of_vectors(1, left, a, later, query, groups, half, sums, upper); break;
    case 2: sums_of_vectors(2, left - 16, a, later, query, groups, half, sums, upper); break;
    case 3: sums_of_vectors(3, left - 32, a, later, query, groups, half, sums, upper); break;
    default: sums_of_vectors(4, left - 48, a, later, query, groups, half, sums, upper);
    }
}

__attribute__((target("avx2"))) static void
sums_avx2(const uint8_t *a, const int8_t *query, int groups, int half, int32_t *sums)
{
    const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
    for (int r = 0; r < half; r += 8) {
        __m256i first = _mm256_setzero_si256(), second = first;
        const uint8_t *at = a + 4 * r;
        int left = half - r;
        __m256i there = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
        for (int g = 0; g < groups; g++, at += 4 * half) {
            int32_t four;
            memcpy(&four, query + 4 * g, 4);
            __m256i q = _mm256_set1_epi32(four), packed = _mm256_maskload_epi32((const int *)at, there);
            __m256i of_low = _mm256_maddubs_epi16(_mm256_and_si256(packed, low), q);
            __m256i of_high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(packed, 4), low), q);
            first = _mm256_add_epi32(first, _mm256_madd_epi16(of_low, ones));
            second = _mm256_add_epi32(second, _mm256_madd_epi16(of_high, ones));
        }
        _mm256_maskstore_epi32(sums + r, there, first);
        _mm256_maskstore_epi32(sums + half + r, there, second);
    }
}
#endif

/* A query (n,) in units of a photo: `a` meets query · step, b meets the query itself; each number takes two bytes, of
   which the near scores use one. */
typedef struct {
    int8_t a[MOST_WIDTH], a_less[MOST_WIDTH], b[MOST_WIDTH], b_less[MOST_WIDTH];
} Bytes;

/* What a step of the rounded query stands for, so that the largest number is 127 of it. */
CLONES static float unit_of(const float *restrict query, const uint8_t *restrict step, int n)
{
    float largest = TINY;
    for (int d = 0; d < n; d++) {
        float size = fabsf(query[d] * step[d]);
        largest = size > largest ? size : largest;
    }
    return largest / 127;
}

/* One byte for each number; returns what all regions have in common, with a and b at their middle, and `lost`: the
   length of what the bytes differ by. */
CLONES static float rounded(const float *restrict query, const int8_t *restrict low, const uint8_t *restrict step,
                            const uint8_t *restrict middle, int n, float *units, int8_t *restrict bytes, float *lost)
{
    n &= -LANES;
    float common = 0, square = 0, unit = unit_of(query, step, n), inverse = 1 / unit;
    for (int d = 0; d < n; d++) {
        float scaled = query[d] * step[d] * inverse;
        int32_t whole = (int32_t)(scaled + copysignf(0.5f, scaled));
        float rest = scaled - whole;
        common += query[d] * (low[d] + 0.5f * step[d] - 0.5f) + unit * rest * middle[d];
        square += rest * rest;
        bytes[d] = (int8_t)whole;
    }
    *units = unit;
    *lost = unit * sqrtf(square);
    return common;
}

/* Two bytes for each number, of 128 units and of one; `lost` for those that meet a, and for those that meet b. */
CLONES static float rounded_twice(const float *restrict query, const int8_t *restrict low,
                                  const uint8_t *restrict step, const uint8_t *restrict middle, int n, float *units,
                                  Bytes *restrict bytes, float *lost)
{
    n &= -LANES;
    float common = 0, square_a = 0, square_b = 0, unit = unit_of(query, step, n) / 128;
    for (int d = 0; d < n; d++) {
        float q = query[d] / unit, scaled = q * step[d];
        int32_t of_a = (int32_t)(scaled + copysignf(0.5f, scaled)), of_b = (int32_t)(q + copysignf(0.5f, q));
        int32_t high_a = (of_a + 64) >> 7, high_b = (of_b + 64) >> 7;
        float rest_a = scaled - of_a, rest_b = q - of_b;
        bytes->a[d] = (int8_t)high_a, bytes->a_less[d] = (int8_t)(of_a - 128 * high_a);
        bytes->b[d] = (int8_t)high_b, bytes->b_less[d] = (int8_t)(of_b - 128 * high_b);
        common += q * low[d] + rest_a * middle[d] + rest_b * 0.5f * (step[d] - 1.0f);
        square_a += rest_a * rest_a, square_b += rest_b * rest_b;
    }
    *units = unit;
    lost[0] = unit * sqrtf(square_a), lost[1] = unit * sqrtf(square_b);
    return common * unit;
}

/* Where that helps, the plane of a photo that comes later is fetched meanwhile. */
static void sums_of(const Job *job, const uint8_t *plane, const uint8_t *later, const int8_t *bytes, int32_t *sums)
{
    (void)later;
#if X86
    if (job->vnni)
        sums_vnni(plane, later, bytes, job->groups, job->half / 4, sums);
    else if (job->avx2)
        sums_avx2(plane, bytes, job->groups, job->half / 4, sums);
    else
#endif
        sums_plain(plane, bytes, job->groups, job->half / 4, sums);
}

static void sketched(const Job *job, int64_t photo, int64_t row, const Queries *queries)
{
    int32_t sums[MOST_REGIONS + 1];
    const uint8_t *sketch = job->coarse + (size_t)photo * job->groups * job->half;
    for (int t = 0; t < job->terms; t++) {
        sums_of(job, sketch, sketch, queries->bytes + t * job->width, sums);
        float mean = mean_of_largest_sums(sums, job->regions, job->top_k);
        job->scores[row * job->terms + t] = queries->common[t] + queries->unit[t] * mean;
    }
}

/* Sums of both planes with a query of two bytes, of 16 units each. */
static void sums_of_both(const Job *job, int64_t photo, int64_t later, const Bytes *bytes, int32_t *sums)
{
    int32_t more[3][MOST_REGIONS + 1];
    size_t size = (size_t)job->groups * job->half, place = photo * size, ahead = later * size;
    sums_of(job, job->coarse + place, job->coarse + ahead, bytes->a, sums);
    sums_of(job, job->fine + place, job->fine + ahead, bytes->b, more[0]);
    sums_of(job, job->coarse + place, job->coarse + place, bytes->a_less, more[1]);
    sums_of(job, job->fine + place, job->fine + place, bytes->b_less, more[2]);
    for (int r = 0; r < job->regions; r++) sums[r] = 8 * (sums[r] + more[0][r]) + (more[1][r] + more[2][r]) / 16;
}

static void near(const Job *job, int64_t photo, int64_t row, const Queries *queries)
{
    int32_t sums[MOST_REGIONS + 1];
    Bytes bytes;
    const int8_t *low = job->low + photo * job->width;
    const uint8_t *step = job->step + photo * job->width;
    const uint8_t *middle = job->middle + photo * job->width;
    const float *bounds = job->bounds + 2 * job->sizes * photo;
    float lost = bounds[job->size], spread = bounds[job->sizes + job->size];
    for (int t = 0; t < job->terms; t++) {
        const float *query = queries->padded + t * job->width;
        float unit, common, error, less[2];
        if (!job->fine) {
            common = rounded(query, low, step, middle, job->width, &unit, bytes.a, less);
            const uint8_t *coarse = job->coarse + (size_t)photo * job->groups * job->half;
            sums_of(job, coarse, coarse, bytes.a, sums);
            error = queries->length[t] * lost + less[0] * spread;
        } else {
            common = rounded_twice(query, low, step, middle, job->width, &unit, &bytes, less);
            sums_of_both(job, photo, photo, &bytes, sums);
            unit *= 16;
            error = less[0] * spread + less[1] * lost + unit;
        }
        job->scores[row * job->terms + t] = common + unit * mean_of_largest_sums(sums, job->regions, job->top_k);
        job->errors[row * job->terms + t] = error + queries->slack[t];
    }
}

#if X86
/* Near scores of many terms at once, each in a lane of its own: what is of the photo is read once for all of them. */

#define TOGETHER 12 /* regions at once; sums of fewer would wait for one another */

/* The queries in units of a photo, four bytes to a lane; returns what all regions have in common, as `rounded` does. */
VNNI static __m512 rounded_together(const Job *job, const float *across, int64_t photo, __m512 *units, __m512i *bytes,
                                    __m512 *lost)
{
    _Alignas(64) float steps[MOST_WIDTH], middles[MOST_WIDTH], bases[MOST_WIDTH];
    const __m512 half = _mm512_set1_ps(0.5f);
    for (int d = 0; d < job->width; d += LANES) {
        const __m128i *low = (const __m128i *)(job->low + photo * job->width + d);
        const __m128i *step = (const __m128i *)(job->step + photo * job->width + d);
        const __m128i *middle = (const __m128i *)(job->middle + photo * job->width + d);
        __m512 s = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(step)));
        __m512 l = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(low)));
        _mm512_store_ps(steps + d, s);
        _mm512_store_ps(bases + d, _mm512_add_ps(l, _mm512_fmsub_ps(s, half, half)));
        _mm512_store_ps(middles + d, _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(middle))));
    }
    __m512 largest = _mm512_set1_ps(TINY), common = _mm512_setzero_ps(), rests = common, square = common;
    for (int d = 0; d < 4 * job->groups; d++) {
        __m512 q = _mm512_load_ps(across + d * LANES);
        largest = _mm512_max_ps(largest, _mm512_abs_ps(_mm512_mul_ps(q, _mm512_set1_ps(steps[d]))));
        common = _mm512_fmadd_ps(q, _mm512_set1_ps(bases[d]), common);
    }
    __m512 unit = _mm512_div_ps(largest, _mm512_set1_ps(127)), inverse = _mm512_div_ps(_mm512_set1_ps(1), unit);
    for (int g = 0; g < job->groups; g++) {
        __m512i four = _mm512_setzero_si512();
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            int d = 4 * g + j;
            __m512 q = _mm512_load_ps(across + d * LANES);
            __m512 scaled = _mm512_mul_ps(_mm512_mul_ps(q, _mm512_set1_ps(steps[d])), inverse);
            __m512i whole = _mm512_cvtps_epi32(scaled), byte = _mm512_and_si512(whole, _mm512_set1_epi32(255));
            __m512 rest = _mm512_sub_ps(scaled, _mm512_cvtepi32_ps(whole));
            rests = _mm512_fmadd_ps(rest, _mm512_set1_ps(middles[d]), rests);
            square = _mm512_fmadd_ps(rest, rest, square);
            four = _mm512_or_si512(four, _mm512_slli_epi32(byte, 8 * j));
        }
        bytes[g] = four;
    }
    *units = unit;
    *lost = _mm512_mul_ps(unit, _mm512_sqrt_ps(square));
    return _mm512_fmadd_ps(rests, unit, common);
}

/* A photo's groups (G, 4·R) with a byte for each number; rows are `stride` bytes apart. */
VNNI static void unpacked(const uint8_t *coarse, int groups, int half, int stride, uint8_t *bytes)
{
    const __m512i low = _mm512_set1_epi8(15);
    for (int g = 0; g < groups; g++, coarse += half, bytes += stride)
        for (int high = 0; high < 2; high++)
            for (int i = 0; i < half; i += 64) {
                __mmask64 there = half - i >= 64 ? ~0ull : (1ull << (half - i)) - 1;
                __m512i packed = _mm512_maskz_loadu_epi8(there, coarse + i);
                if (!high) _mm_prefetch((const char *)coarse + AHEAD + i, _MM_HINT_T1);
                if (high) packed = _mm512_srli_epi16(packed, 4);
                _mm512_storeu_si512(bytes + high * half + i, _mm512_and_si512(packed, low));
            }
}

/* The mean of the `k` largest of `n` sums, in each lane; they have at most 20 bits, which floats hold. */
VNNI static inline __attribute__((always_inline)) __m512 mean_of_largest_in_lanes(const float *sums, int n, int k)
{
    __m512 best[8], sum = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < k; i++) best[i] = _mm512_set1_ps(-INFINITY);
    for (int r = 0; r < n; r++) {
        __m512 s = _mm512_load_ps(sums + r * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < k; i++) {
            __m512 larger = _mm512_max_ps(best[i], s);
            s = _mm512_min_ps(best[i], s);
            best[i] = larger;
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < k; i++) sum = _mm512_add_ps(sum, best[i]);
    return _mm512_div_ps(sum, _mm512_set1_ps(k));
}

VNNI static __m512 pooled_together(const float *sums, int n, int k)
{
    switch (k) { /* each is compiled for itself, with all of `best` in registers */
    case 1: return mean_of_largest_in_lanes(sums, n, 1);
    case 2: return mean_of_largest_in_lanes(sums, n, 2);
    case 3: return mean_of_largest_in_lanes(sums, n, 3);
    case 4: return mean_of_largest_in_lanes(sums, n, 4);
    case 5: return mean_of_largest_in_lanes(sums, n, 5);
    case 6: return mean_of_largest_in_lanes(sums, n, 6);
    case 7: return mean_of_largest_in_lanes(sums, n, 7);
    default: return mean_of_largest_in_lanes(sums, n, 8);
    }
}

/* Sixteen photos at once, for a few terms: what is found for each photo is brought to a lane of its own, so that their
   sums are pooled together, and no instruction waits for the one before. */

/* The sum of each of sixteen vectors, or with `largest` its largest number, in a lane of its own. */
VNNI static inline __attribute__((always_inline)) __m512 folded(int largest, const __m512 *vectors)
{
#define FOLD(x, y) (largest ? _mm512_max_ps(x, y) : _mm512_add_ps(x, y))
    __m512 halves[8], quarters[4], pairs[2];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        __m512 x = vectors[i + (i & 4)], y = vectors[i + (i & 4) + 4];
        halves[i] = FOLD(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xEE));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 x = halves[i], y = halves[i + 4];
        quarters[i] = FOLD(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xDD));
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        __m512 x = quarters[2 * i], y = quarters[2 * i + 1];
        pairs[i] = FOLD(_mm512_shuffle_ps(x, y, 0x44), _mm512_shuffle_ps(x, y, 0xEE));
    }
    return FOLD(_mm512_shuffle_ps(pairs[0], pairs[1], 0x88), _mm512_shuffle_ps(pairs[0], pairs[1], 0xDD));
#undef FOLD
}

/* Numbers of sixteen rows, a lane for each row. */
VNNI static inline __attribute__((always_inline)) void transposed(const int32_t *rows, int stride, float *columns)
{
    __m512 x[LANES], y[LANES];
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) x[i] = _mm512_cvtepi32_ps(_mm512_loadu_si512(rows + i * stride));
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        y[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
        y[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            __m512d first = _mm512_castps_pd(y[i + j]), second = _mm512_castps_pd(y[i + j + 2]);
            x[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(first, second));
            x[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(first, second));
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        __m512 even = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88), odd = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xDD);
        __m512 more = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
        __m512 most = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xDD);
        _mm512_store_ps(columns + i * LANES, _mm512_shuffle_f32x4(even, more, 0x88));
        _mm512_store_ps(columns + (i + 4) * LANES, _mm512_shuffle_f32x4(odd, most, 0x88));
        _mm512_store_ps(columns + (i + 8) * LANES, _mm512_shuffle_f32x4(even, more, 0xDD));
        _mm512_store_ps(columns + (i + 12) * LANES, _mm512_shuffle_f32x4(odd, most, 0xDD));
    }
}

typedef struct {
    int64_t photos[LANES], later[LANES]; /* those that are scored, and those that will be */
    _Alignas(64) float unit[LANES], common[LANES], error[LANES];
    int8_t bytes[LANES][MOST_WIDTH];
    int32_t sums[LANES][MOST_TOGETHER + LANES];
} Sixteen;

/* The mean of the `k` largest of the `n` sums of each photo. */
VNNI static __m512 pooled_sixteen(const Sixteen *sixteen, int n, int k)
{
    _Alignas(64) float columns[MOST_TOGETHER * LANES];
    for (int r = 0; r < n; r += LANES)
        transposed(sixteen->sums[0] + r, MOST_TOGETHER + LANES, columns + r * LANES);
    return pooled_together(columns, n, k);
}

/* As `rounded`, and with the error that follows. */
VNNI static void rounded_sixteen(const Job *job, const Queries *queries, int term, Sixteen *sixteen)
{
    const float *query = queries->padded + term * job->width;
    const __m512 half = _mm512_set1_ps(0.5f);
    _Alignas(64) float inverse[LANES], lost[LANES], spread[LANES];
    __m512 largest[LANES], common[LANES], rests[LANES], square[LANES];
    for (int i = 0; i < LANES; i++) {
        const uint8_t *step = job->step + sixteen->photos[i] * job->width;
        const float *bounds = job->bounds + 2 * job->sizes * sixteen->photos[i];
        largest[i] = _mm512_set1_ps(TINY);
        for (int d = 0; d < job->width; d += LANES) {
            __m512 s = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(step + d))));
            largest[i] = _mm512_max_ps(largest[i], _mm512_abs_ps(_mm512_mul_ps(_mm512_loadu_ps(query + d), s)));
        }
        lost[i] = bounds[job->size], spread[i] = bounds[job->sizes + job->size];
    }
    __m512 unit = _mm512_div_ps(folded(1, largest), _mm512_set1_ps(127));
    _mm512_store_ps(inverse, _mm512_div_ps(_mm512_set1_ps(1), unit));
    for (int i = 0; i < LANES; i++) {
        int64_t place = sixteen->photos[i] * job->width;
        const int8_t *low = job->low + place;
        const uint8_t *step = job->step + place, *middle = job->middle + place;
        const __m512 scale = _mm512_set1_ps(inverse[i]);
        common[i] = rests[i] = square[i] = _mm512_setzero_ps();
        for (int d = 0; d < job->width; d += LANES) {
            __m512 q = _mm512_loadu_ps(query + d);
            __m512 s = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(step + d))));
            __m512 l = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(low + d))));
            __m512 m = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(middle + d))));
            __m512 scaled = _mm512_mul_ps(_mm512_mul_ps(q, s), scale);
            __m512i whole = _mm512_cvtps_epi32(scaled);
            __m512 rest = _mm512_sub_ps(scaled, _mm512_cvtepi32_ps(whole));
            common[i] = _mm512_fmadd_ps(q, _mm512_add_ps(l, _mm512_fmsub_ps(s, half, half)), common[i]);
            rests[i] = _mm512_fmadd_ps(rest, m, rests[i]);
            square[i] = _mm512_fmadd_ps(rest, rest, square[i]);
            _mm_storeu_si128((__m128i *)(sixteen->bytes[i] + d), _mm512_cvtsepi32_epi8(whole));
        }
    }
    __m512 error = _mm512_set1_ps(queries->slack[term]), length = _mm512_set1_ps(queries->length[term]);
    error = _mm512_fmadd_ps(length, _mm512_load_ps(lost), error);
    __m512 rest = _mm512_mul_ps(unit, _mm512_sqrt_ps(folded(0, square)));
    _mm512_store_ps(sixteen->error, _mm512_fmadd_ps(rest, _mm512_load_ps(spread), error));
    _mm512_store_ps(sixteen->common, _mm512_fmadd_ps(unit, folded(0, rests), folded(0, common)));
    _mm512_store_ps(sixteen->unit, unit);
}

/* As `rounded_twice`. */
static void rounded_sixteen_twice(const Job *job, const Queries *queries, int term, int photo, Sixteen *sixteen,
                                  Bytes *bytes)
{
    int64_t place = sixteen->photos[photo] * job->width;
    const float *bounds = job->bounds + 2 * job->sizes * sixteen->photos[photo];
    float lost = bounds[job->size], spread = bounds[job->sizes + job->size], unit, less[2];
    sixteen->common[photo] = rounded_twice(queries->padded + term * job->width, job->low + place, job->step + place,
                                           job->middle + place, job->width, &unit, bytes, less);
    sixteen->unit[photo] = 16 * unit;
    sixteen->error[photo] = less[0] * spread + less[1] * lost + 16 * unit + queries->slack[term];
}

/* Sums of each photo with a term, and what they are units of. */
VNNI static void sums_of_sixteen(const Job *job, const Queries *queries, int term, Sixteen *sixteen)
{
    size_t plane = (size_t)job->groups * job->half;
    int sketches = !job->low;
    Bytes twice;
    if (!sketches && !job->fine) rounded_sixteen(job, queries, term, sixteen);
    for (int i = 0; i < LANES; i++) {
        const uint8_t *coarse = job->coarse + sixteen->photos[i] * plane;
        const uint8_t *later = job->coarse + sixteen->later[i] * plane;
        const int8_t *bytes = sketches ? queries->bytes + term * job->width : sixteen->bytes[i];
        if (sketches) sixteen->unit[i] = queries->unit[term], sixteen->common[i] = queries->common[term];
        if (job->fine) {
            rounded_sixteen_twice(job, queries, term, i, sixteen, &twice);
            sums_of_both(job, sixteen->photos[i], sixteen->later[i], &twice, sixteen->sums[i]);
        } else {
            sums_vnni(coarse, term ? coarse : later, bytes, job->groups, job->half / 4, sixteen->sums[i]);
        }
    }
}

/* Near scores, or those of sketches, of the photos of rows from `row` to `stop`, sixteen at most. */
VNNI static void score_sixteen(const Job *job, int64_t row, int64_t stop, const Queries *queries)
{
    Sixteen sixteen;
    for (int i = 0; i < LANES; i++) {
        int64_t now = row + i < stop ? row + i : stop - 1;
        int64_t later = now + LATER < job->photos ? now + LATER : job->photos - 1;
        sixteen.photos[i] = job->chosen ? job->chosen[now] : now;
        sixteen.later[i] = job->chosen ? job->chosen[later] : later;
    }
    for (int t = 0; t < job->terms; t++) {
        sums_of_sixteen(job, queries, t, &sixteen);
        _Alignas(64) float scores[LANES];
        __m512 mean = pooled_sixteen(&sixteen, job->regions, job->top_k);
        mean = _mm512_fmadd_ps(_mm512_load_ps(sixteen.unit), mean, _mm512_load_ps(sixteen.common));
        _mm512_store_ps(scores, mean);
        for (int64_t i = row; i < stop; i++) {
            job->scores[i * job->terms + t] = scores[i - row];
            if (job->errors) job->errors[i * job->terms + t] = sixteen.error[i - row];
        }
    }
}

/* Whether sums are pooled in lanes, those of many terms or of many photos. */
static int can_pool_in_lanes(const Job *job)
{
    return job->vnni && job->top_k <= MOST_LARGEST && job->regions <= MOST_TOGETHER;
}

VNNI static void near_together(const Job *job, int64_t photo, int64_t row, const Queries *queries)
{
    _Alignas(64) float sums[(MOST_TOGETHER + TOGETHER) * LANES];
    _Alignas(64) uint8_t bytes[UNPACKED + 128];
    __m512i of_queries[MOST_WIDTH / 4];
    __m512 unit, lost;
    __m512 common = rounded_together(job, queries->across, photo, &unit, of_queries, &lost);
    int stride = 2 * job->half;
    unpacked(job->coarse + (size_t)photo * job->groups * job->half, job->groups, job->half, stride, bytes);
    for (int r = 0; r < job->regions; r += TOGETHER) {
        __m512i part[TOGETHER];
#pragma GCC unroll 12
        for (int i = 0; i < TOGETHER; i++) part[i] = _mm512_setzero_si512();
        const uint8_t *at = bytes + 4 * r;
        for (int g = 0; g < job->groups; g++, at += stride) {
#pragma GCC unroll 12
            for (int i = 0; i < TOGETHER; i++) {
                int32_t four;
                memcpy(&four, at + 4 * i, 4);
                add_products(&part[i], _mm512_set1_epi32(four), of_queries[g]);
            }
        }
#pragma GCC unroll 12
        for (int i = 0; i < TOGETHER; i++) _mm512_store_ps(sums + (r + i) * LANES, _mm512_cvtepi32_ps(part[i]));
    }
    const float *bounds = job->bounds + 2 * job->sizes * photo;
    __m512 error = _mm512_loadu_ps(queries->slack);
    error = _mm512_fmadd_ps(_mm512_loadu_ps(queries->length), _mm512_set1_ps(bounds[job->size]), error);
    error = _mm512_fmadd_ps(lost, _mm512_set1_ps(bounds[job->sizes + job->size]), error);
    __m512 score = _mm512_fmadd_ps(unit, pooled_together(sums, job->regions, job->top_k), common);
    __mmask16 there = (__mmask16)((1u << job->terms) - 1);
    _mm512_mask_storeu_ps(job->scores + row * job->terms, there, score);
    _mm512_mask_storeu_ps(job->errors + row * job->terms, there, error);
}
#endif

static void prepare(const Job *job, Queries *queries)
{
    int8_t low[MOST_WIDTH];
    uint8_t step[MOST_WIDTH], middle[MOST_WIDTH];
    memset(low, SKETCH_LOW, sizeof low);
    memset(step, SKETCH_STEP, sizeof step);
    memset(middle, 8, sizeof middle);
    memset(queries, 0, sizeof *queries);
    for (int t = 0; t < job->terms; t++) {
        float *padded = queries->padded + t * job->width, lost;
        double square = 0;
        for (int d = 0; d < job->width; d++) {
            float q = d < job->dims ? job->queries[(size_t)t * job->dims + d] : 0;
            padded[d] = queries->across[d * LANES + t] = q;
            square += (double)q * q;
        }
        queries->length[t] = (float)sqrt(square);
        queries->slack[t] = queries->length[t] * ROUNDING * sqrtf(job->dims) + 1000 * TINY;
        queries->common[t] = rounded(padded, low, step, middle, job->width, &queries->unit[t],
                                     queries->bytes + t * job->width, &lost);
    }
}

static void *work(void *argument)
{
    Job *job = argument;
    Queries queries;
    if (!job->codes) prepare(job, &queries);
#if X86
    int in_lanes = can_pool_in_lanes(job) && (job->errors || (!job->low && !job->codes));
    int together = in_lanes && job->errors && !job->fine && job->terms >= MANY_TERMS &&
                   job->groups * 2 * job->half <= UNPACKED;
#endif
    for (;;) {
        int64_t start = __atomic_fetch_add(&job->next, PHOTOS_AT_ONCE, __ATOMIC_RELAXED);
        if (start >= job->photos) return NULL;
        int64_t stop = start + PHOTOS_AT_ONCE < job->photos ? start + PHOTOS_AT_ONCE : job->photos;
#if X86
        for (; in_lanes && !together && start < stop; start += LANES)
            score_sixteen(job, start, start + LANES < stop ? start + LANES : stop, &queries);
#endif
        for (int64_t row = start; row < stop; row++) {
            int64_t photo = job->chosen ? job->chosen[row] : row;
#if X86
            if (together) {
                near_together(job, photo, row, &queries);
                continue;
            }
#endif
            if (job->squares)
                alike(job, photo, row);
            else if (job->errors)
                near(job, photo, row, &queries);
            else if (!job->low && !job->codes)
                sketched(job, photo, row, &queries);
            else
                exact(job, photo, row);
        }
    }
}

static void run(Job *job, int threads)
{
    pthread_t others[MOST_THREADS];
    int started = 0;
    int64_t useful = job->photos / PHOTOS_AT_ONCE;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > useful) threads = (int)useful;
    while (started < threads - 1 && pthread_create(&others[started], NULL, work, job) == 0) started++;
    work(job);
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
}

/* Python */

static int fits(const Py_buffer *buffer, int64_t bytes, const char *name)
{
    if (buffer->buf == NULL || buffer->len >= bytes) return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, not %lld", name, buffer->len, (long long)bytes);
    return 0;
}

/* scan(low, step, middle, bounds, coarse, fine, codes, chosen, queries, squares, scores, errors,
        photos, regions, dims, terms, top_k, sizes, size, threads, instructions)

   `photos` are those of the planes or codes. Planes or codes are None; with `errors` the near scores are found, without
   them the exact ones. Where there is `coarse` alone it is taken for sketches, and their scores are found.
   With `squares` it is the largest cosine of one query in both planes that is found.
   `instructions` are 0 for those of any processor, 1 for AVX2 and 2 for AVX-512 too, where the processor has them. */
static PyObject *scan(PyObject *self, PyObject *args)
{
    Py_buffer low, step, middle, bounds, coarse, fine, codes, chosen, queries, squares, scores, errors;
    long long photos;
    int threads, instructions;
    Job job = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "z*z*z*z*z*z*z*z*y*z*w*z*Liiiiiiii", &low, &step, &middle, &bounds, &coarse, &fine, &codes,
                          &chosen, &queries, &squares, &scores, &errors, &photos, &job.regions, &job.dims, &job.terms, &job.top_k,
                          &job.sizes, &job.size, &threads, &instructions))
        return NULL;
    job.groups = (job.dims + 3) / 4;
    job.width = (job.dims + LANES - 1) / LANES * LANES;
    job.half = 4 * ((job.regions + 1) / 2);
    int64_t rows = chosen.buf ? chosen.len / 8 : photos, plane = (int64_t)job.groups * job.half;
    int ok = 1;
    if (job.regions < 1 || job.regions > MOST_REGIONS || job.dims < 1 || job.width > MOST_WIDTH || job.terms < 1 ||
        job.terms > MOST_TERMS || job.top_k < 1 || job.top_k > MOST_POOLED || job.top_k > job.regions || photos < 0 ||
        job.sizes < 1 || job.sizes > MOST_POOLED || job.size < 0 || job.size >= job.sizes) {
        PyErr_SetString(PyExc_ValueError, "more regions, dimensions, terms or pooled regions than can be scanned");
        ok = 0;
    }
    int planes = low.buf && step.buf && middle.buf && bounds.buf && coarse.buf && (errors.buf || fine.buf);
    int sketches = !low.buf && !step.buf && !middle.buf && !bounds.buf && coarse.buf && !fine.buf && !errors.buf;
    if (!codes.buf && !planes && !sketches) {
        PyErr_SetString(PyExc_ValueError, "neither codes nor planes nor sketches");
        ok = 0;
    }
    if (squares.buf && (!planes || !fine.buf || errors.buf || job.terms != 1)) {
        PyErr_SetString(PyExc_ValueError, "cosines are those of one query with both planes");
        ok = 0;
    }
    ok = ok && fits(&squares, (int64_t)job.dims * 4, "squares") && fits(&low, photos * job.width, "low") && fits(&step, photos * job.width, "step") &&
         fits(&coarse, photos * plane, "coarse") && fits(&fine, photos * plane, "fine") &&
         fits(&middle, photos * job.width, "middle") &&
         fits(&bounds, photos * 8 * job.sizes, "bounds") &&
         fits(&codes, photos * job.regions * job.dims, "codes") &&
         fits(&queries, (int64_t)job.terms * job.dims * 4, "queries") &&
         fits(&scores, rows * job.terms * 4, "scores") && fits(&errors, rows * job.terms * 4, "errors");
    if (ok && chosen.buf)
        for (int64_t i = 0; i < rows; i++) {
            int64_t photo = ((const int64_t *)chosen.buf)[i];
            if (photo < 0 || photo >= photos) {
                PyErr_SetString(PyExc_IndexError, "a chosen photo is not there");
                ok = 0;
                break;
            }
        }
    if (ok) {
        job.low = low.buf, job.step = step.buf, job.coarse = coarse.buf, job.fine = fine.buf;
        job.middle = middle.buf, job.bounds = bounds.buf, job.codes = codes.buf, job.chosen = chosen.buf;
        job.queries = queries.buf, job.squares = squares.buf, job.scores = scores.buf, job.errors = errors.buf;
        job.photos = rows;
#if X86
        __builtin_cpu_init();
        job.vnni = instructions >= 2 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl");
        job.avx2 = instructions >= 1 && __builtin_cpu_supports("avx2");
#endif
        Py_BEGIN_ALLOW_THREADS
        run(&job, threads);
        Py_END_ALLOW_THREADS
    }
    Py_buffer *all[] = {&low,    &step,    &middle,  &bounds, &coarse, &fine,
                        &codes, &chosen, &queries, &squares, &scores, &errors};
    for (int i = 0; i < 12; i++)
        if (all[i]->obj) PyBuffer_Release(all[i]);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

/* The means (T,) of the `k` largest of each column of scores (R, T). */
CLONES static void largest_of_columns(const float *restrict scores, int regions, int terms, int k, float *restrict means)
{
    for (int start = 0; start < terms; start += COLUMNS) {
        float best[MOST_POOLED][COLUMNS], next[COLUMNS];
        int columns = terms - start < COLUMNS ? terms - start : COLUMNS;
        for (int i = 0; i < k; i++)
            for (int t = 0; t < COLUMNS; t++) best[i][t] = -FLT_MAX;
        for (int t = 0; t < COLUMNS; t++) next[t] = 0;
        for (int r = 0; r < regions; r++) {
            memcpy(next, scores + (size_t)r * terms + start, sizeof(float) * columns);
            for (int i = 0; i < k; i++) /* the larger one stays, the other goes on */
                for (int t = 0; t < COLUMNS; t++) {
                    float held = best[i][t], came = next[t];
                    best[i][t] = held > came ? held : came;
                    next[t] = held > came ? came : held;
                }
        }
        for (int t = 0; t < columns; t++) {
            float sum = 0;
            for (int i = 0; i < k; i++) sum += best[i][t];
            means[start + t] = sum / k;
        }
    }
}

/* means_of_largest(scores, means, regions, terms, top_k) */
static PyObject *means_of_largest(PyObject *self, PyObject *args)
{
    Py_buffer scores, means;
    int regions, terms, top_k;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*iii", &scores, &means, &regions, &terms, &top_k)) return NULL;
    int ok = regions > 0 && terms > 0 && top_k > 0 && top_k <= MOST_POOLED && top_k <= regions;
    if (!ok) PyErr_SetString(PyExc_ValueError, "no regions or terms, or more pooled regions than there are");
    ok = ok && fits(&scores, (int64_t)regions * terms * 4, "scores") && fits(&means, (int64_t)terms * 4, "means");
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        largest_of_columns(scores.buf, regions, terms, top_k, means.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&scores);
    PyBuffer_Release(&means);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"means_of_largest", means_of_largest, METH_VARARGS, "Pooled scores of one photo for many terms."},
    {"scan", scan, METH_VARARGS, "Pooled scores of photos; engine.library.scan says of what."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scan", "Scans region maps.", -1, methods};

PyMODINIT_FUNC PyInit__scan(void)
{
    return PyModule_Create(&module);
}
