/* Scans region maps: pooled scores of many photos, as fast as memory delivers them.

   Functions take NumPy's arrays through the buffer protocol, and give up the interpreter's lock while they work. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <pthread.h>

#include "longest.h"
#include "sketches.h"

#define MOST_THREADS 16
#define STACK (1 << 20) /* bytes of a thread's */
#define PHOTOS_AT_ONCE 32 /* that a thread takes */
#define PHOTOS_WORTH 256 /* starting a thread for */
#define BLOCKS_AT_ONCE 16
#define COLUMNS 64 /* of scores, side by side */

/* Fetch a photo's codes, before they are needed. */
static void fetch(const Exact *job, int64_t photo)
{
    int64_t bytes = (int64_t)job->regions * job->dims;
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(job->codes + photo * bytes + i, 0, 2);
}

static void *score_photos(void *argument)
{
    Exact *job = argument;
    int64_t start;
    while ((start = __atomic_fetch_add(&job->next, PHOTOS_AT_ONCE, __ATOMIC_RELAXED)) < job->photos)
        for (int64_t row = start; row < start + PHOTOS_AT_ONCE && row < job->photos; row++) {
            if (job->chosen && row + 1 < job->photos) fetch(job, job->chosen[row + 1]);
            (job->squares ? alike : exact)(job, job->chosen ? job->chosen[row] : row, row);
        }
    return NULL;
}

static void *score_blocks(void *argument)
{
    Sketches *job = argument;
    Sixteen sixteen;
    int64_t start;
    prepare(job, &sixteen);
    while ((start = __atomic_fetch_add(&job->next, BLOCKS_AT_ONCE, __ATOMIC_RELAXED)) < job->count)
        for (int64_t row = start; row < start + BLOCKS_AT_ONCE && row < job->count; row++)
            score_block(job, job->chosen ? job->chosen[row] : row, row, &sixteen);
    return NULL;
}

/* Do a job in several threads, `useful` at most. */
static void run(void *(*work)(void *), void *job, int threads, int64_t useful)
{
    pthread_t others[MOST_THREADS];
    pthread_attr_t attributes;
    int started = 0;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > useful) threads = (int)useful;
    if (threads > 1 && pthread_attr_init(&attributes) == 0) {
        pthread_attr_setstacksize(&attributes, STACK);
        while (started < threads - 1 && pthread_create(&others[started], &attributes, work, job) == 0) started++;
        pthread_attr_destroy(&attributes);
    }
    work(job);
    for (int i = 0; i < started; i++) pthread_join(others[i], NULL);
}

/* Python */

static int fits(const Py_buffer *buffer, int64_t bytes, const char *name)
{
    if (buffer->buf == NULL || buffer->len >= bytes) return 1;
    PyErr_Format(PyExc_ValueError, "%s has %zd bytes, not %lld", name, buffer->len, (long long)bytes);
    return 0;
}

/* Whether all that is chosen is one of `count`. */
static int are_there(const Py_buffer *chosen, int64_t count)
{
    for (Py_ssize_t i = 0; chosen->buf && i < chosen->len / 8; i++) {
        int64_t place = ((const int64_t *)chosen->buf)[i];
        if (place < 0 || place >= count) {
            PyErr_SetString(PyExc_IndexError, "a chosen photo is not there");
            return 0;
        }
    }
    return 1;
}

static int has_room(int regions, int dims, int terms, int top_k, int64_t count)
{
    if (regions >= 1 && regions <= MOST_REGIONS && dims >= 1 && dims <= MOST_WIDTH && terms >= 1 && terms <= MOST_TERMS &&
        top_k >= 1 && top_k <= MOST_POOLED && top_k <= regions && count >= 0)
        return 1;
    PyErr_SetString(PyExc_ValueError, "more regions, dimensions, terms or pooled regions than can be scanned");
    return 0;
}

static void release(Py_buffer *buffers[], int count)
{
    for (int i = 0; i < count; i++)
        if (buffers[i]->obj) PyBuffer_Release(buffers[i]);
}

/* exact_scores(codes, chosen, queries, squares, scores, photos, regions, dims, terms, top_k, in_columns, threads)

   Codes are (N, R, D), or (N, D, R) where they are `in_columns`. With `squares` it is the largest cosine of one query. */
static PyObject *exact_scores(PyObject *self, PyObject *args)
{
    Py_buffer codes, chosen, queries, squares, scores;
    long long photos;
    int in_columns, threads;
    Exact job = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y*z*y*z*w*Liiiiii", &codes, &chosen, &queries, &squares, &scores, &photos, &job.regions,
                          &job.dims, &job.terms, &job.top_k, &in_columns, &threads))
        return NULL;
    int64_t rows = chosen.buf ? chosen.len / 8 : photos;
    int ok = has_room(job.regions, job.dims, job.terms, job.top_k, photos);
    if (ok && squares.buf && job.terms != 1) {
        PyErr_SetString(PyExc_ValueError, "cosines are those of one query");
        ok = 0;
    }
    ok = ok && fits(&codes, photos * job.regions * job.dims, "codes") &&
         fits(&queries, (int64_t)job.terms * job.dims * 4, "queries") && fits(&squares, (int64_t)job.dims * 4, "squares") &&
         fits(&scores, rows * job.terms * 4, "scores") && are_there(&chosen, photos);
    if (ok) {
        job.codes = codes.buf, job.chosen = chosen.buf, job.queries = queries.buf, job.squares = squares.buf;
        job.scores = scores.buf, job.photos = rows;
#if X86
        __builtin_cpu_init();
        job.avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                     __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
        job.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
        job.across = in_columns ? 1 : job.dims, job.down = in_columns ? job.regions : 1;
        Py_BEGIN_ALLOW_THREADS
        run(score_photos, &job, threads, rows / PHOTOS_WORTH);
        Py_END_ALLOW_THREADS
    }
    release((Py_buffer *[]){&codes, &chosen, &queries, &squares, &scores}, 5);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

/* sketch_scores(blocks, chosen, centres, steps, ranges, lengths, scores, errors,
                 count, cells, dims, fours, twos, terms, top_k, sizes, size, threads, instructions)

   `count` is that of all blocks. `instructions` are 0 for those of any processor, 1 for AVX2 and 2 for AVX-512 too, where
   the processor has them. */
static PyObject *sketch_scores(PyObject *self, PyObject *args)
{
    Py_buffer blocks, chosen, centres, steps, ranges, lengths, scores, errors;
    long long count;
    int threads, instructions;
    Sketches job = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "y*z*y*z*y*y*w*z*Liiiiiiiiii", &blocks, &chosen, &centres, &steps, &ranges, &lengths,
                          &scores, &errors, &count, &job.cells, &job.dims, &job.fours, &job.twos, &job.terms, &job.top_k,
                          &job.sizes, &job.size, &threads, &instructions))
        return NULL;
    int64_t rows = chosen.buf ? chosen.len / 8 : count, groups = (int64_t)job.fours + job.twos;
    int ok = has_room(job.cells, job.dims, job.terms, job.top_k, count);
    if (ok && (job.dims % 4 || job.fours < 0 || job.twos < 0 || groups > job.dims / 4 || job.sizes < 0 || job.size < 0 ||
               job.size > job.sizes || (errors.buf && job.size >= job.sizes))) {
        PyErr_SetString(PyExc_ValueError, "there are no such sketches");
        ok = 0;
    }
    ok = ok && fits(&blocks, count * words_of_block(&job) * LANES * 4, "blocks") &&
         fits(&centres, (int64_t)job.terms * job.dims * 4, "centres") &&
         fits(&steps, (int64_t)job.terms * 4, "steps") && fits(&ranges, job.terms * groups * 16, "ranges") && fits(&lengths, (int64_t)job.terms * 4, "lengths") &&
         fits(&scores, rows * LANES * job.terms * 4, "scores") && fits(&errors, rows * LANES * job.terms * 4, "errors") &&
         are_there(&chosen, count);
    if (ok) {
        job.blocks = blocks.buf, job.chosen = chosen.buf, job.centres = centres.buf, job.steps = steps.buf, job.ranges = ranges.buf;
        job.lengths = lengths.buf, job.scores = scores.buf, job.errors = errors.buf, job.count = rows;
#if X86
        __builtin_cpu_init();
        job.vnni = instructions >= 2 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl");
        job.avx2 = instructions >= 1 && __builtin_cpu_supports("avx2");
#endif
        Py_BEGIN_ALLOW_THREADS
        run(score_blocks, &job, threads, rows / BLOCKS_AT_ONCE);
        Py_END_ALLOW_THREADS
    }
    release((Py_buffer *[]){&blocks, &chosen, &centres, &steps, &ranges, &lengths, &scores, &errors}, 8);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

/* The means (T,) of the `k` largest of each column of scores (R, T). */
CLONES static void largest_of_columns(const float *restrict scores, int regions, int terms, int k, float *restrict means)
{
    for (int start = 0; start < terms; start += COLUMNS) {
        float best[MOST_POOLED][COLUMNS], next[COLUMNS];
        int columns = terms - start < COLUMNS ? terms - start : COLUMNS;
        for (int i = 0; i < k; i++)
            for (int t = 0; t < COLUMNS; t++) best[i][t] = -FLT_MAX;
        for (int t = 0; t < COLUMNS; t++) next[t] = 0;
        for (int r = 0; r < regions; r++) {
            memcpy(next, scores + (size_t)r * terms + start, sizeof(float) * columns);
            for (int i = 0; i < k; i++) /* the larger one stays, the other goes on */
                for (int t = 0; t < COLUMNS; t++) {
                    float held = best[i][t], came = next[t];
                    best[i][t] = held > came ? held : came;
                    next[t] = held > came ? came : held;
                }
        }
        for (int t = 0; t < columns; t++) {
            float sum = 0;
            for (int i = 0; i < k; i++) sum += best[i][t];
            means[start + t] = sum / k;
        }
    }
}

/* means_of_largest(scores, means, regions, terms, top_k) */
static PyObject *means_of_largest(PyObject *self, PyObject *args)
{
    Py_buffer scores, means;
    int regions, terms, top_k;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*w*iii", &scores, &means, &regions, &terms, &top_k)) return NULL;
    int ok = regions > 0 && terms > 0 && top_k > 0 && top_k <= MOST_POOLED && top_k <= regions;
    if (!ok) PyErr_SetString(PyExc_ValueError, "no regions or terms, or more pooled regions than there are");
    ok = ok && fits(&scores, (int64_t)regions * terms * 4, "scores") && fits(&means, (int64_t)terms * 4, "means");
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        largest_of_columns(scores.buf, regions, terms, top_k, means.buf);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&scores);
    PyBuffer_Release(&means);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

/* longest_means(vectors, sizes, longest, photos, regions, dims): vectors (N, R, D) and sizes (S,), longest (N, S) */
static PyObject *longest_means_of_photos(PyObject *self, PyObject *args)
{
    Py_buffer vectors, sizes, longest;
    long long photos;
    int regions, dims;
    (void)self;
    if (!PyArg_ParseTuple(args, "y*y*w*Lii", &vectors, &sizes, &longest, &photos, &regions, &dims)) return NULL;
    int count = (int)(sizes.len / 4), ok = photos >= 0 && regions > 0 && dims > 0 && count > 0 && count <= MOST_POOLED;
    for (int s = 0; ok && s < count; s++) ok = ((int32_t *)sizes.buf)[s] > 0 && ((int32_t *)sizes.buf)[s] <= MOST_POOLED;
    if (!ok) PyErr_SetString(PyExc_ValueError, "no regions, dimensions or sizes, or larger sizes than there is room for");
    ok = ok && fits(&vectors, photos * regions * dims * 4, "vectors") && fits(&longest, photos * count * 4, "longest");
    float *scratch = ok ? PyMem_Malloc(sizeof(float) * longest_scratch(regions, dims, count)) : NULL;
    if (ok && !scratch) PyErr_NoMemory();
    ok = ok && scratch;
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        for (int64_t i = 0; i < photos; i++)
            longest_means((float *)vectors.buf + i * regions * dims, regions, dims, sizes.buf, count,
                          (float *)longest.buf + i * count, scratch);
        Py_END_ALLOW_THREADS
    }
    PyMem_Free(scratch);
    PyBuffer_Release(&vectors);
    PyBuffer_Release(&sizes);
    PyBuffer_Release(&longest);
    if (!ok) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"longest_means", longest_means_of_photos, METH_VARARGS, "How long means of a photo's vectors can be at most."},
    {"means_of_largest", means_of_largest, METH_VARARGS, "Pooled scores of one photo for many terms."},
    {"exact_scores", exact_scores, METH_VARARGS, "Pooled scores of photos from their codes."},
    {"sketch_scores", sketch_scores, METH_VARARGS, "Pooled scores of photos, as their sketches tell them."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scan", "Scans region maps.", -1, methods};

PyMODINIT_FUNC PyInit__scan(void)
{
    return PyModule_Create(&module);
}
