/* What all kernels share: limits, and how they are compiled. */

#pragma once

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define MOST_REGIONS 1024
#define MOST_WIDTH 512 /* dimensions */
#define MOST_TERMS 16
#define MOST_POOLED 64
#define LANES 16 /* numbers of four bytes in the widest vector, and photos in a block of sketches */
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
