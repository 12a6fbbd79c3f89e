/* Pooling: the mean of the largest scores of a photo's regions. */

#pragma once

#include "job.h"

/* The mean of the `k` largest of `n` numbers, which are overwritten. The same numbers give the same mean, in whatever
   order they come. */
CLONES static float mean_of_largest(float *scores, int n, int k)
{
    float sum = 0;
    for (int held = 0; held < k;) {
        float largest = -FLT_MAX;
        int times = 0;
        for (int r = 0; r < n; r++) largest = scores[r] > largest ? scores[r] : largest;
        for (int r = 0; r < n; r++) {
            times += scores[r] == largest;
            scores[r] = scores[r] == largest ? -FLT_MAX : scores[r];
        }
        for (; times > 0 && held < k; times--, held++) sum += largest;
    }
    return sum / k;
}

/* The same in each of LANES columns of scores (n, LANES): the larger number stays, the other one goes on. */
CLONES static void means_of_largest_in_lanes(const float *restrict scores, int n, int k, float *restrict means)
{
    float best[MOST_POOLED][LANES], next[LANES], sum[LANES] = {0};
    for (int i = 0; i < k; i++)
        for (int p = 0; p < LANES; p++) best[i][p] = -FLT_MAX;
    for (int r = 0; r < n; r++) {
        memcpy(next, scores + (size_t)r * LANES, sizeof next);
        for (int i = 0; i < k; i++)
            for (int p = 0; p < LANES; p++) {
                float held = best[i][p], came = next[p];
                best[i][p] = held > came ? held : came;
                next[p] = held > came ? came : held;
            }
    }
    for (int i = 0; i < k; i++)
        for (int p = 0; p < LANES; p++) sum[p] += best[i][p];
    for (int p = 0; p < LANES; p++) means[p] = sum[p] / k;
}

#if X86
/* The same, for `k` that the compiler knows, with all of `best` in registers. */
VNNI static inline __attribute__((always_inline)) void few_in_lanes(const float *scores, int n, int k, float *means)
{
    __m512 best[8], sum = _mm512_setzero_ps();
#pragma GCC unroll 8
    for (int i = 0; i < k; i++) best[i] = _mm512_set1_ps(-FLT_MAX);
    for (int r = 0; r < n; r++) {
        __m512 s = _mm512_load_ps(scores + (size_t)r * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < k; i++) {
            __m512 larger = _mm512_max_ps(best[i], s);
            s = _mm512_min_ps(best[i], s);
            best[i] = larger;
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < k; i++) sum = _mm512_add_ps(sum, best[i]);
    _mm512_storeu_ps(means, _mm512_div_ps(sum, _mm512_set1_ps(k)));
}

/* The same, for a `k` that is told when it runs. */
VNNI static void means_of_largest_vnni(const float *scores, int n, int k, float *means)
{
    switch (k) {
    case 1: few_in_lanes(scores, n, 1, means); break;
    case 2: few_in_lanes(scores, n, 2, means); break;
    case 3: few_in_lanes(scores, n, 3, means); break;
    case 4: few_in_lanes(scores, n, 4, means); break;
    case 5: few_in_lanes(scores, n, 5, means); break;
    case 6: few_in_lanes(scores, n, 6, means); break;
    case 7: few_in_lanes(scores, n, 7, means); break;
    case 8: few_in_lanes(scores, n, 8, means); break;
    default: means_of_largest_in_lanes(scores, n, k, means);
    }
}
#endif
