/* What all kernels share: the layout of photos, limits, and what there is to do.

   Layout of a photo in planes (engine/library/planes.py): its R·D codes are split, with D padded to 4·G, as
       code = low[d] + step[d]·a + b,    0 <= a, b < 16,
   and both a and b are packed two to a byte. In group g (four dimensions), byte 4·r + j of H = 4·ceil(R/2) bytes holds
   dimension 4·g + j of region r in its low half and of region r + ceil(R/2) in its high half. So four bytes meet four
   numbers of the query in one instruction, and regions lie side by side.

   A sketch (engine/library/sketch.py) is packed like a coarse plane, with the same low and step for all photos. */

#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST_REGIONS 1024
#define MOST_WIDTH 512
#define MOST_TERMS 16
#define MOST_POOLED 64
#define MOST_TOGETHER 256 /* regions whose sums are pooled with those of other terms or photos */
#define LANES 16 /* numbers of four bytes in the widest vector */
#define TINY 1e-20f /* taken for zero */

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

#if X86
#define VNNI __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))
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
