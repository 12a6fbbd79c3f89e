/* Exact scores of codes: sixteen regions side by side, dimensions one after the other, so that every route rounds alike. */

#pragma once

#include "largest.h"

#define TOGETHER 8 /* vectors of regions, whose sums stay in registers */

typedef struct {
    const int8_t *codes;   /* of photo n, region r and dimension d at n·R·D + r·across + d·down */
    const int64_t *chosen; /* (M,) photos, or NULL for all */
    const float *queries;  /* (T, D) */
    const float *squares;  /* (D,): of what a code stands for, or NULL for inner products */
    float *scores;         /* (M, T) */
    int regions, dims, across, down, terms, top_k;
    int64_t photos, next; /* M; the next one that no thread has taken */
    int avx512, avx2;
} Exact;

/* Sums over dimensions of weights with codes, or with their squares, of `count` times LANES regions: vector i begins with
   the codes at places[i]. */
CLONES static void sums_any(int squared, const int8_t *codes, int down, int dims, const int *places, int count,
                                 const float *weights, float (*restrict found)[LANES])
{
    memset(found, 0, sizeof *found * count);
    for (int d = 0; d < dims; d++, codes += down)
        for (int i = 0; i < count; i++)
            for (int r = 0; r < LANES; r++) {
                float code = codes[places[i] + r];
                found[i][r] += squared ? weights[d] * code * code : weights[d] * code;
            }
}

#if X86
#define AVX2 __attribute__((target("avx2,fma")))

/* The same; `count` and `squared` are known to the compiler, so that all sums are in registers. */
VNNI static inline __attribute__((always_inline)) void
some_sums_512(int count, int squared, const int8_t *codes, int down, int dims, const int *places, const float *weights,
              float (*found)[LANES])
{
    __m512 sums[TOGETHER];
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) sums[i] = _mm512_setzero_ps();
    for (int d = 0; d < dims; d++, codes += down) {
        __m512 weight = _mm512_set1_ps(weights[d]);
#pragma GCC unroll 8
        for (int i = 0; i < count; i++) {
            __m128i bytes = _mm_loadu_si128((const __m128i *)(codes + places[i]));
            __m512 code = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
            sums[i] = _mm512_fmadd_ps(squared ? _mm512_mul_ps(code, code) : code, weight, sums[i]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; i++) _mm512_storeu_ps(found[i], sums[i]);
}

VNNI static void sums_512(int squared, const int8_t *codes, int down, int dims, const int *places, int count,
                          const float *weights, float (*found)[LANES])
{
#define CASE(n)                                                                                                        \
    case 2 * n: some_sums_512(n, 0, codes, down, dims, places, weights, found); break;                                 \
    case 2 * n + 1: some_sums_512(n, 1, codes, down, dims, places, weights, found); break;
    switch (2 * count + squared) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) }
#undef CASE
}

AVX2 static void sums_256(int squared, const int8_t *codes, int down, int dims, const int *places, int count,
                          const float *weights, float (*found)[LANES])
{
    for (int i = 0; i < count; i++) {
        __m256 low = _mm256_setzero_ps(), high = low;
        const int8_t *at = codes + places[i];
        for (int d = 0; d < dims; d++, at += down) {
            __m256 weight = _mm256_set1_ps(weights[d]);
            __m128i bytes = _mm_loadu_si128((const __m128i *)at);
            __m256 first = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
            __m256 second = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)));
            low = _mm256_fmadd_ps(squared ? _mm256_mul_ps(first, first) : first, weight, low);
            high = _mm256_fmadd_ps(squared ? _mm256_mul_ps(second, second) : second, weight, high);
        }
        _mm256_storeu_ps(found[i], low);
        _mm256_storeu_ps(found[i] + 8, high);
    }
}
#endif

static void sums_of(const Exact *job, int squared, const int8_t *codes, int down, const int *places, int count,
                    const float *weights, float (*found)[LANES])
{
#if X86
    if (job->avx512)
        sums_512(squared, codes, down, job->dims, places, count, weights, found);
    else if (job->avx2)
        sums_256(squared, codes, down, job->dims, places, count, weights, found);
    else
#endif
        sums_any(squared, codes, down, job->dims, places, count, weights, found);
}

/* The same of all regions of a photo, for `terms` weights (T, D): sums (T, MOST_REGIONS). What is not in columns, or too
   narrow for a vector, is copied into some, once for all terms. */
static void region_sums(const Exact *job, int squared, const int8_t *codes, const float *weights, int terms,
                        float (*sums)[MOST_REGIONS])
{
    int8_t columns[MOST_WIDTH * TOGETHER * LANES];
    int copied = job->across != 1 || job->regions < LANES;
    for (int first = 0; first < job->regions; first += TOGETHER * LANES) {
        int left = job->regions - first < TOGETHER * LANES ? job->regions - first : TOGETHER * LANES;
        int count = (left + LANES - 1) / LANES, down = copied ? count * LANES : job->down, places[TOGETHER];
        const int8_t *from = codes + (size_t)first * job->across;
        float found[TOGETHER][LANES];
        for (int i = 0; i < count; i++)
            places[i] = copied || i * LANES + LANES <= left ? i * LANES : left - LANES;
        if (copied) {
            memset(columns, 0, (size_t)job->dims * down);
            for (int r = 0; r < left; r++)
                for (int d = 0; d < job->dims; d++)
                    columns[d * down + r] = from[(size_t)r * job->across + (size_t)d * job->down];
            from = columns;
        }
        for (int t = 0; t < terms; t++) {
            sums_of(job, squared, from, down, places, count, weights + (size_t)t * job->dims, found);
            for (int i = 0; i < count; i++) {
                int taken = left - places[i] < LANES ? left - places[i] : LANES;
                memcpy(sums[t] + first + places[i], found[i], sizeof(float) * taken);
            }
        }
    }
}

static void exact(const Exact *job, int64_t photo, int64_t row)
{
    float sums[MOST_TERMS][MOST_REGIONS];
    region_sums(job, 0, job->codes + photo * job->regions * job->dims, job->queries, job->terms, sums);
    for (int t = 0; t < job->terms; t++)
        job->scores[row * job->terms + t] = mean_of_largest(sums[t], job->regions, job->top_k);
}

/* The largest cosine of a query, of length 1 and with the squares folded in, with any region. */
static void alike(const Exact *job, int64_t photo, int64_t row)
{
    float products[1][MOST_REGIONS], lengths[1][MOST_REGIONS], best = -1;
    const int8_t *codes = job->codes + photo * job->regions * job->dims;
    region_sums(job, 0, codes, job->queries, 1, products);
    region_sums(job, 1, codes, job->squares, 1, lengths);
    for (int r = 0; r < job->regions; r++) {
        float length = sqrtf(lengths[0][r]), cosine = products[0][r] / (length > TINY ? length : TINY);
        best = cosine > best ? cosine : best;
    }
    job->scores[row] = best;
}
