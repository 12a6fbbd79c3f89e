/* Exact scores: regions side by side, dimensions one after the other, so that every route rounds alike. Those of a high
   half of planes begin at a whole vector, as those of a low half do: what is written is read the same way. */

#pragma once

#include "largest.h"

#define COLUMN (MOST_REGIONS + 2 * LANES) /* numbers of a dimension, in whole vectors */

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
