/* Pooling: the mean of the largest scores of a photo's regions. */

#pragma once

#include "job.h"

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

#if X86
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

/* The same, for a `k` that is told when it runs. */
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
#endif
