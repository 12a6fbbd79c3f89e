/* How long the mean of a few of a photo's vectors can be at most; engine/library/bounds.py says why. */

#pragma once

#include "largest.h"

#define ROWS 8 /* that are multiplied at once, with LANES columns */

typedef float Lane_floats __attribute__((vector_size(4 * LANES), aligned(4)));

/* Inner products of ROWS vectors (., D) with the vectors whose dimensions are `columns` (D, LANES). */
CLONES static void products(const float *restrict rows, const float *restrict columns, int dims,
                            float found[ROWS][LANES])
{
    Lane_floats sums[ROWS] = {{0}};
    for (int d = 0; d < dims; d++) {
        Lane_floats column = *(const Lane_floats *)(columns + d * LANES);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) sums[i] += rows[(size_t)i * dims + d] * column;
    }
    memcpy(found, sums, sizeof sums);
}

/* Put ROWS numbers of each lane among its `k` largest: the larger one stays, the others go on. */
CLONES static void insert(const float numbers[ROWS][LANES], float best[][LANES], int k)
{
    float next[ROWS][LANES];
    memcpy(next, numbers, sizeof next);
    for (int i = 0; i < k; i++) {
        float held[LANES];
        memcpy(held, best[i], sizeof held);
#pragma GCC unroll 8
        for (int j = 0; j < ROWS; j++)
            for (int r = 0; r < LANES; r++) {
                float largest = held[r] > next[j][r] ? held[r] : next[j][r];
                next[j][r] = held[r] > next[j][r] ? next[j][r] : held[r];
                held[r] = largest;
            }
        memcpy(best[i], held, sizeof held);
    }
}

/* Of one photo's vectors (R, D). `scratch` has room for `longest_scratch` numbers. */
static void longest_means(const float *vectors, int regions, int dims, const int32_t *sizes, int count, float *longest,
                          float *scratch)
{
    float *columns = scratch, *sums = columns + (size_t)dims * LANES; /* (D, LANES) and (S, R) */
    float *rest = sums + (size_t)count * regions;                     /* (ROWS, D): the last rows, then zeros */
    int whole = regions - regions % ROWS, most = 0;
    for (int s = 0; s < count; s++) most = sizes[s] > most ? sizes[s] : most;
    most = (most < regions ? most : regions) - 1;
    memset(rest, 0, sizeof(float) * ROWS * dims);
    memcpy(rest, vectors + (size_t)whole * dims, sizeof(float) * (regions - whole) * dims);
    for (int start = 0; start < regions; start += LANES) {
        int lanes = regions - start < LANES ? regions - start : LANES;
        float found[ROWS][LANES], best[MOST_POOLED][LANES], own[LANES];
        for (int r = 0; r < LANES; r++)
            for (int d = 0; d < dims; d++)
                columns[d * LANES + r] = r < lanes ? vectors[(size_t)(start + r) * dims + d] : 0;
        for (int i = 0; i < most; i++)
            for (int r = 0; r < LANES; r++) best[i][r] = -FLT_MAX;
        for (int row = 0; row < regions; row += ROWS) {
            products(row < whole ? vectors + (size_t)row * dims : rest, columns, dims, found);
            for (int i = 0; i < ROWS; i++) {
                int r = row + i - start; /* the lane of this very vector */
                if (r >= 0 && r < lanes) own[r] = found[i][r], found[i][r] = -FLT_MAX;
                for (int r = 0; r < LANES && row + i >= regions; r++) found[i][r] = -FLT_MAX;
            }
            insert(found, best, most);
        }
        for (int r = 0; r < lanes; r++)
            for (int s = 0; s < count; s++) {
                float sum = own[r];
                for (int i = 0; i < sizes[s] - 1 && i < most; i++) sum += best[i][r];
                sums[(size_t)s * regions + start + r] = sum;
            }
    }
    for (int s = 0; s < count; s++) {
        int k = sizes[s] < regions ? sizes[s] : regions;
        float square = mean_of_largest(sums + (size_t)s * regions, regions, k) / k;
        longest[s] = square > 0 ? sqrtf(square) : 0;
    }
}

static size_t longest_scratch(int regions, int dims, int count)
{
    return (size_t)dims * (LANES + ROWS) + (size_t)count * regions;
}
