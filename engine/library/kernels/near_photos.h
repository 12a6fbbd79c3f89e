/* Sixteen photos at once, for a few terms: what is found for each photo is brought to a lane of its own, so that their
   sums are pooled together, and no instruction waits for the one before. */

#pragma once

#include "near.h"

#if X86
#define LATER 8 /* photos, whose planes are fetched before they are needed */

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
#endif
