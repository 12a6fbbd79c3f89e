/* Scores of sketches, in integers, of sixteen photos at once: a lane each.

   Layout of a block (engine/library/sketch.py), in vectors of sixteen words, one a photo, of four bytes, one a dimension:
       bounds    S words, each a float
       centres   D / 4 words, bytes with a sign
       ranges    F + H words
       numbers   for each four cells: for each of F groups two words, in which a byte holds the 4-bit numbers of two
                 cells, then for each of H groups one word, in which a byte holds the 2-bit numbers of all four
   A cell's coordinate is centre·unit + range·unit / levels · (number - (levels - 1) / 2); units are in the query. */

#pragma once

#include "exact.h"

#define MOST_GROUPS (MOST_WIDTH / 4)

typedef struct {
    const uint32_t *blocks; /* (B, W, LANES) */
    const int64_t *chosen;  /* (M,) blocks, or NULL for all */
    const float *centres;   /* (T, D): queries, in units of centres; D in whole groups */
    const float *steps;     /* (T,): of `centres`, which are up to 127 times that; or NULL for any numbers */
    const float *ranges;    /* (T, 4·(F + H)): queries, in units of numbers */
    const float *lengths;   /* (T,): of queries */
    float *scores, *errors; /* (T, M, LANES); errors may be NULL */
    int cells, dims, fours, twos, terms, top_k, sizes, size;
    int64_t count, next; /* M; the next one that no thread has taken */
    int vnni, avx2;
} Sketches;

typedef struct {
    _Alignas(64) uint32_t bytes[MOST_GROUPS][LANES]; /* the query, in units of each photo */
    float unit[LANES], common[LANES], error[LANES];
    int32_t centre[MOST_TERMS][MOST_GROUPS]; /* queries in steps, four bytes to a word */
    float scaled[MOST_WIDTH][LANES];
    float sums[MOST_REGIONS + 4][LANES];
} Sixteen;

/* Round a query to bytes for each photo of a block; what all cells have in common, and by how much each may be off. */
CLONES static void rounded(const Sketches *job, const uint32_t *restrict block, int term, Sixteen *restrict sixteen)
{
    const float *centre = job->centres + (size_t)term * job->dims;
    int groups = job->fours + job->twos;
    const float *range = job->ranges + (size_t)term * 4 * groups;
    const float *bounds = (const float *)block;
    const uint32_t *centres = block + job->sizes * LANES, *ranges = centres + job->dims / 4 * LANES;
    float common[LANES] = {0}, largest[LANES], inverse[LANES], lost[LANES] = {0};
    int32_t middles[LANES] = {0}; /* the sum of a query's bytes with the middles of numbers, doubled */
    for (int g = 0; g < job->dims / 4; g++)
        for (int j = 0; j < 4; j++)
            for (int p = 0; p < LANES; p++)
                common[p] += centre[4 * g + j] * (float)((int32_t)(centres[g * LANES + p] << (24 - 8 * j)) >> 24);
    for (int p = 0; p < LANES; p++) largest[p] = TINY;
    for (int g = 0; g < groups; g++)
        for (int j = 0; j < 4; j++)
            for (int p = 0; p < LANES; p++) {
                float scaled = range[4 * g + j] * (float)(int32_t)(ranges[g * LANES + p] >> 8 * j & 255);
                sixteen->scaled[4 * g + j][p] = scaled;
                scaled = fabsf(scaled);
                largest[p] = scaled > largest[p] ? scaled : largest[p];
            }
    for (int p = 0; p < LANES; p++) sixteen->unit[p] = largest[p] / 127, inverse[p] = 127 / largest[p];
    for (int g = 0; g < groups; g++) {
        int32_t twice = g < job->fours ? 15 : 3; /* the middle of the numbers */
        for (int p = 0; p < LANES; p++) sixteen->bytes[g][p] = 0;
        for (int j = 0; j < 4; j++)
            for (int p = 0; p < LANES; p++) {
                float scaled = sixteen->scaled[4 * g + j][p] * inverse[p], whole = rintf(scaled);
                lost[p] += fabsf(scaled - whole) * (float)twice;
                middles[p] += (int32_t)whole * twice;
                sixteen->bytes[g][p] |= ((uint32_t)(int32_t)whole & 255) << 8 * j;
            }
    }
    for (int p = 0; p < LANES; p++) {
        sixteen->common[p] = common[p] - sixteen->unit[p] * 0.5f * (float)middles[p];
        sixteen->error[p] = sixteen->unit[p] * 0.5f * lost[p];
    }
    if (job->sizes)
        for (int p = 0; p < LANES; p++)
            sixteen->error[p] += job->lengths[term] * bounds[job->size * LANES + p] + 1000 * TINY;
}

/* Sums of numbers with the bytes of the query, for four cells from `words` on. */
CLONES static void sums_plain(const Sketches *job, const uint32_t *restrict words, const Sixteen *sixteen,
                              float sums[4][LANES])
{
    int32_t found[4][LANES] = {{0}};
    for (int g = 0; g < job->fours + job->twos; g++)
        for (int j = 0; j < 4; j++)
            for (int i = 0; i < 4; i++) {
                int four = g < job->fours;
                const uint32_t *at = words + (four ? 2 * g + i / 2 : job->fours + g) * LANES;
                int shift = 8 * j + (four ? 4 * (i % 2) : 2 * i), mask = four ? 15 : 3;
                for (int p = 0; p < LANES; p++)
                    found[i][p] += ((int32_t)(sixteen->bytes[g][p] << (24 - 8 * j)) >> 24) * (int32_t)(at[p] >> shift & mask);
            }
    for (int i = 0; i < 4; i++)
        for (int p = 0; p < LANES; p++) sums[i][p] = (float)found[i][p];
}

#if X86
/* Add the products of four bytes, not signed, and four signed ones to each sum. */
VNNI static inline __attribute__((always_inline)) void add_products(__m512i *sums, __m512i bytes, __m512i signed_bytes)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sums) : "v"(bytes), "v"(signed_bytes)); /* GCC 12 moves the intrinsic's sums */
}

/* The sum of a query with the centres of each photo. */
VNNI static inline __attribute__((always_inline)) __m512
common_vnni(const Sketches *job, const uint32_t *centres, int term, const Sixteen *sixteen)
{
    const float *centre = job->centres + (size_t)term * job->dims;
    int groups = job->dims / 4;
    if (job->steps) { /* in integers; a centre is made positive by adding 128 */
        __m512i sums = _mm512_setzero_si512(), apart = sums, middle = _mm512_set1_epi8(-128);
        for (int g = 0; g < groups; g++) {
            __m512i q = _mm512_set1_epi32(sixteen->centre[term][g]);
            add_products(&sums, _mm512_xor_si512(_mm512_loadu_si512(centres + g * LANES), middle), q);
            add_products(&apart, middle, q);
        }
        return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(sums, apart)), _mm512_set1_ps(job->steps[term]));
    }
    __m512 common[4];
    for (int j = 0; j < 4; j++) common[j] = _mm512_setzero_ps();
    for (int g = 0; g < groups; g++) {
        __m512i four = _mm512_loadu_si512(centres + g * LANES);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512i signed_byte = _mm512_srai_epi32(_mm512_slli_epi32(four, 24 - 8 * j), 24);
            common[j] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(signed_byte), _mm512_set1_ps(centre[4 * g + j]), common[j]);
        }
    }
    return _mm512_add_ps(_mm512_add_ps(common[0], common[1]), _mm512_add_ps(common[2], common[3]));
}

/* As `rounded`; without bounds nobody asks for an error. */
VNNI static inline __attribute__((always_inline)) void
rounded_vnni(int bounded, const Sketches *job, const uint32_t *block, int term, Sixteen *sixteen)
{
    int groups = job->fours + job->twos;
    const float *range = job->ranges + (size_t)term * 4 * groups;
    const uint32_t *centres = block + job->sizes * LANES, *ranges = centres + job->dims / 4 * LANES;
    const __m512i byte = _mm512_set1_epi32(255);
    __m512 common = common_vnni(job, centres, term, sixteen), largest[4], lost = _mm512_setzero_ps(), absent = lost;
    for (int j = 0; j < 4; j++) largest[j] = _mm512_set1_ps(TINY);
    for (int g = 0; g < groups; g++) {
        __m512i four = _mm512_loadu_si512(ranges + g * LANES);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512 scaled = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(four, 8 * j), byte));
            scaled = _mm512_mul_ps(scaled, _mm512_set1_ps(range[4 * g + j]));
            _mm512_store_ps(sixteen->scaled[4 * g + j], scaled);
            largest[j] = _mm512_max_ps(largest[j], _mm512_abs_ps(scaled));
        }
    }
    __m512 most = _mm512_max_ps(_mm512_max_ps(largest[0], largest[1]), _mm512_max_ps(largest[2], largest[3]));
    __m512 unit = _mm512_mul_ps(most, _mm512_set1_ps(1 / 127.0f)), inverse = _mm512_div_ps(_mm512_set1_ps(127), most);
    __m512i middles = _mm512_setzero_si512();
    for (int g = 0; g < groups; g++) {
        int twice = g < job->fours ? 15 : 3;
        __m512 rest = absent;
        __m512i whole[4];
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            __m512 scaled = _mm512_mul_ps(_mm512_load_ps(sixteen->scaled[4 * g + j]), inverse);
            whole[j] = _mm512_cvtps_epi32(scaled);
            if (bounded) rest = _mm512_add_ps(rest, _mm512_abs_ps(_mm512_sub_ps(scaled, _mm512_cvtepi32_ps(whole[j]))));
        }
        if (bounded) lost = _mm512_fmadd_ps(rest, _mm512_set1_ps(twice), lost);
        __m512i low = _mm512_mask_blend_epi8(0x2222222222222222, whole[0], _mm512_slli_epi32(whole[1], 8));
        __m512i high = _mm512_mask_blend_epi8(0x8888888888888888, _mm512_slli_epi32(whole[2], 16), _mm512_slli_epi32(whole[3], 24));
        __m512i bytes = _mm512_mask_blend_epi16(0xAAAAAAAA, low, high);
        _mm512_store_si512(sixteen->bytes[g], bytes);
        add_products(&middles, _mm512_set1_epi8(twice), bytes);
    }
    __m512 half = _mm512_mul_ps(unit, _mm512_set1_ps(0.5f));
    _mm512_store_ps(sixteen->common, _mm512_fnmadd_ps(half, _mm512_cvtepi32_ps(middles), common));
    _mm512_store_ps(sixteen->unit, unit);
    if (!bounded) return;
    __m512 error = _mm512_fmadd_ps(half, lost, _mm512_set1_ps(1000 * TINY));
    error = _mm512_fmadd_ps(_mm512_loadu_ps(block + job->size * LANES), _mm512_set1_ps(job->lengths[term]), error);
    _mm512_store_ps(sixteen->error, error);
}

/* A byte is the number of one cell and those of others above it; so what is above follows by subtraction. */
VNNI static inline __attribute__((always_inline)) void
sums_vnni(const Sketches *job, const uint32_t *words, const Sixteen *sixteen, float sums[4][LANES])
{
    const __m512i two = _mm512_set1_epi8(3), four = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    __m512i fours[4], twos[4];
    for (int i = 0; i < 4; i++) fours[i] = twos[i] = _mm512_setzero_si512();
    for (int g = 0; g < job->fours; g++, words += 2 * LANES) {
        __m512i q = _mm512_load_si512(sixteen->bytes[g]);
        __m512i first = _mm512_loadu_si512(words), second = _mm512_loadu_si512(words + LANES);
        add_products(&fours[0], _mm512_and_si512(first, four), q);
        add_products(&fours[1], first, q);
        add_products(&fours[2], _mm512_and_si512(second, four), q);
        add_products(&fours[3], second, q);
    }
    for (int g = 0; g < job->twos; g++, words += LANES) {
        __m512i q = _mm512_load_si512(sixteen->bytes[job->fours + g]), packed = _mm512_loadu_si512(words);
        add_products(&twos[0], _mm512_and_si512(packed, two), q);
        add_products(&twos[1], _mm512_and_si512(packed, four), q);
        add_products(&twos[2], _mm512_and_si512(packed, six), q);
        add_products(&twos[3], packed, q);
    }
    for (int i = 3; i > 0; i--) twos[i] = _mm512_srai_epi32(_mm512_sub_epi32(twos[i], twos[i - 1]), 2 * i);
    for (int i = 1; i < 4; i += 2) fours[i] = _mm512_srai_epi32(_mm512_sub_epi32(fours[i], fours[i - 1]), 4);
    for (int i = 0; i < 4; i++)
        _mm512_store_ps(sums[i], _mm512_cvtepi32_ps(_mm512_add_epi32(fours[i], twos[i])));
}

AVX2 static inline __m256i products_avx2(__m256i sums, __m256i numbers, __m256i query)
{
    __m256i pairs = _mm256_maddubs_epi16(numbers, query);
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

AVX2 static void sums_avx2(const Sketches *job, const uint32_t *words, const Sixteen *sixteen, float sums[4][LANES])
{
    const __m256i two = _mm256_set1_epi8(3), four = _mm256_set1_epi8(15);
    for (int lane = 0; lane < LANES; lane += 8) {
        const uint32_t *at = words + lane;
        __m256i found[4];
        for (int i = 0; i < 4; i++) found[i] = _mm256_setzero_si256();
        for (int g = 0; g < job->fours; g++)
            for (int i = 0; i < 4; i += 2, at += LANES) {
                __m256i q = _mm256_load_si256((const __m256i *)(sixteen->bytes[g] + lane));
                __m256i packed = _mm256_loadu_si256((const __m256i *)at);
                found[i] = products_avx2(found[i], _mm256_and_si256(packed, four), q);
                found[i + 1] = products_avx2(found[i + 1], _mm256_and_si256(_mm256_srli_epi16(packed, 4), four), q);
            }
        for (int g = 0; g < job->twos; g++, at += LANES) {
            __m256i q = _mm256_load_si256((const __m256i *)(sixteen->bytes[job->fours + g] + lane));
            __m256i packed = _mm256_loadu_si256((const __m256i *)at);
            for (int i = 0; i < 4; i++, packed = _mm256_srli_epi16(packed, 2))
                found[i] = products_avx2(found[i], _mm256_and_si256(packed, two), q);
        }
        for (int i = 0; i < 4; i++) _mm256_storeu_ps(sums[i] + lane, _mm256_cvtepi32_ps(found[i]));
    }
}

#define AHEAD 8192 /* bytes that are fetched before they are needed */

VNNI static void sums_of_block_vnni(const Sketches *job, const uint32_t *block, int term, Sixteen *sixteen)
{
    int groups = job->fours + job->twos, words = (groups + job->fours) * LANES;
    const uint32_t *numbers = block + (job->sizes + job->dims / 4 + groups) * LANES;
    if (job->sizes)
        rounded_vnni(1, job, block, term, sixteen);
    else
        rounded_vnni(0, job, block, term, sixteen);
    for (int cell = 0; cell < job->cells; cell += 4, numbers += words) {
        for (int i = 0; i < words; i += LANES) _mm_prefetch((const char *)(numbers + i) + AHEAD, _MM_HINT_T0);
        sums_vnni(job, numbers, sixteen, sixteen->sums + cell);
    }
}
#endif

static int64_t words_of_block(const Sketches *job)
{
    int groups = job->fours + job->twos, quarter = (job->cells + 3) / 4;
    return job->sizes + job->dims / 4 + groups + (int64_t)quarter * (groups + job->fours);
}

/* Bring queries that are whole multiples of a step to bytes. */
static void prepare(const Sketches *job, Sixteen *sixteen)
{
    for (int t = 0; job->steps && t < job->terms; t++)
        for (int g = 0; g < job->dims / 4; g++) {
            uint32_t four = 0;
            for (int j = 0; j < 4; j++) {
                float whole = job->centres[(size_t)t * job->dims + 4 * g + j] / job->steps[t];
                four |= ((uint32_t)lrintf(whole) & 255) << 8 * j;
            }
            sixteen->centre[t][g] = (int32_t)four;
        }
}

/* Near scores of the photos of a block, and by how much they may be off. */
static void score_block(const Sketches *job, int64_t number, int64_t row, Sixteen *sixteen)
{
    const uint32_t *block = job->blocks + number * words_of_block(job) * LANES;
    int groups = job->fours + job->twos, words = (groups + job->fours) * LANES;
    for (int t = 0; t < job->terms; t++) {
        const uint32_t *numbers = block + (job->sizes + job->dims / 4 + groups) * LANES;
        float means[LANES];
#if X86
        if (job->vnni) {
            sums_of_block_vnni(job, block, t, sixteen);
            means_of_largest_vnni(sixteen->sums[0], job->cells, job->top_k, means);
        } else
#endif
        {
            rounded(job, block, t, sixteen);
            for (int cell = 0; cell < job->cells; cell += 4, numbers += words)
#if X86
                if (job->avx2)
                    sums_avx2(job, numbers, sixteen, sixteen->sums + cell);
                else
#endif
                    sums_plain(job, numbers, sixteen, sixteen->sums + cell);
            means_of_largest_in_lanes(sixteen->sums[0], job->cells, job->top_k, means);
        }
        int64_t place = (t * job->count + row) * LANES;
        for (int p = 0; p < LANES; p++) job->scores[place + p] = sixteen->common[p] + sixteen->unit[p] * means[p];
        if (job->errors) memcpy(job->errors + place, sixteen->error, sizeof(float) * LANES);
    }
}
