/* Near scores: of `a` alone, in integers. Sums of 4-bit numbers with the rounded query are those of 2·half regions. */

#pragma once

#include "largest.h"

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
