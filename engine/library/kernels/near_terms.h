/* Near scores of many terms at once, each in a lane of its own: what is of the photo is read once for all of them. */

#pragma once

#include "near.h"

#if X86
#define AHEAD 16384 /* bytes that are fetched before they are needed */
#define UNPACKED 32768 /* bytes of a photo, for many terms */
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
