/* Scans region maps: pooled scores of many photos, as fast as memory delivers them.

   Functions take NumPy's arrays through the buffer protocol, and give up the interpreter's lock while they work. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <pthread.h>

#include "exact.h"
#include "longest.h"
#include "near_photos.h"
#include "near_terms.h"

#define MOST_THREADS 16
#define PHOTOS_AT_ONCE 256 /* that a thread takes */
#define COLUMNS 64 /* of scores, side by side */
#define MANY_TERMS 7 /* from which on it pays to score them at once */
#define MOST_LARGEST 8 /* numbers that are pooled in lanes */
#define SKETCH_LOW -128 /* a sketch stands for SKETCH_LOW + SKETCH_STEP·a and what the mean of 16 codes lies above it */
#define SKETCH_STEP 16
#define ROUNDING 1e-4f /* 2^-24 · 127, and room to be safe */

#if X86
/* Whether sums are pooled in lanes, those of many terms or of many photos. */
static int can_pool_in_lanes(const Job *job)
{
    return job->vnni && job->top_k <= MOST_LARGEST && job->regions <= MOST_TOGETHER;
}
#endif

static void prepare(const Job *job, Queries *queries)
{
    int8_t low[MOST_WIDTH];
    uint8_t step[MOST_WIDTH], middle[MOST_WIDTH];
    memset(low, SKETCH_LOW, sizeof low);
    memset(step, SKETCH_STEP, sizeof step);
    memset(middle, 8, sizeof middle);
    memset(queries, 0, sizeof *queries);
    for (int t = 0; t < job->terms; t++) {
        float *padded = queries->padded + t * job->width, lost;
        double square = 0;
        for (int d = 0; d < job->width; d++) {
            float q = d < job->dims ? job->queries[(size_t)t * job->dims + d] : 0;
            padded[d] = queries->across[d * LANES + t] = q;
            square += (double)q * q;
        }
        queries->length[t] = (float)sqrt(square);
        queries->slack[t] = queries->length[t] * ROUNDING * sqrtf(job->dims) + 1000 * TINY;
        queries->common[t] = rounded(padded, low, step, middle, job->width, &queries->unit[t],
                                     queries->bytes + t * job->width, &lost);
    }
}

static void *work(void *argument)
{
    Job *job = argument;
    Queries queries;
    if (!job->codes) prepare(job, &queries);
#if X86
    int in_lanes = can_pool_in_lanes(job) && (job->errors || (!job->low && !job->codes));
    int together = in_lanes && job->errors && !job->fine && job->terms >= MANY_TERMS &&
                   job->groups * 2 * job->half <= UNPACKED;
#endif
    for (;;) {
        int64_t start = __atomic_fetch_add(&job->next, PHOTOS_AT_ONCE, __ATOMIC_RELAXED);
        if (start >= job->photos) return NULL;
        int64_t stop = start + PHOTOS_AT_ONCE < job->photos ? start + PHOTOS_AT_ONCE : job->photos;
#if X86
        for (; in_lanes && !together && start < stop; start += LANES)
            score_sixteen(job, start, start + LANES < stop ? start + LANES : stop, &queries);
#endif
        for (int64_t row = start; row < stop; row++) {
            int64_t photo = job->chosen ? job->chosen[row] : row;
#if X86
            if (together) {
                near_together(job, photo, row, &queries);
                continue;
            }
#endif
            if (job->squares)
                alike(job, photo, row);
            else if (job->errors)
                near(job, photo, row, &queries);
            else if (!job->low && !job->codes)
                sketched(job, photo, row, &queries);
            else
                exact(job, photo, row);
        }
    }
}

static void run(Job *job, int threads)
{
    pthread_t others[MOST_THREADS];
    int started = 0;
    int64_t useful = job->photos / PHOTOS_AT_ONCE;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads > useful) threads = (int)useful;
    while (started < threads - 1 && pthread_create(&others[started], NULL, work, job) == 0) started++;
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

/* scan(low, step, middle, bounds, coarse, fine, codes, chosen, queries, squares, scores, errors,
        photos, regions, dims, terms, top_k, sizes, size, threads, instructions)

   `photos` are those of the planes or codes. Planes or codes are None; with `errors` the near scores are found, without
   them the exact ones. Where there is `coarse` alone it is taken for sketches, and their scores are found.
   With `squares` it is the largest cosine of one query in both planes that is found.
   `instructions` are 0 for those of any processor, 1 for AVX2 and 2 for AVX-512 too, where the processor has them. */
static PyObject *scan(PyObject *self, PyObject *args)
{
    Py_buffer low, step, middle, bounds, coarse, fine, codes, chosen, queries, squares, scores, errors;
    long long photos;
    int threads, instructions;
    Job job = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "z*z*z*z*z*z*z*z*y*z*w*z*Liiiiiiii", &low, &step, &middle, &bounds, &coarse, &fine, &codes,
                          &chosen, &queries, &squares, &scores, &errors, &photos, &job.regions, &job.dims, &job.terms, &job.top_k,
                          &job.sizes, &job.size, &threads, &instructions))
        return NULL;
    job.groups = (job.dims + 3) / 4;
    job.width = (job.dims + LANES - 1) / LANES * LANES;
    job.half = 4 * ((job.regions + 1) / 2);
    int64_t rows = chosen.buf ? chosen.len / 8 : photos, plane = (int64_t)job.groups * job.half;
    int ok = 1;
    if (job.regions < 1 || job.regions > MOST_REGIONS || job.dims < 1 || job.width > MOST_WIDTH || job.terms < 1 ||
        job.terms > MOST_TERMS || job.top_k < 1 || job.top_k > MOST_POOLED || job.top_k > job.regions || photos < 0 ||
        job.sizes < 1 || job.sizes > MOST_POOLED || job.size < 0 || job.size >= job.sizes) {
        PyErr_SetString(PyExc_ValueError, "more regions, dimensions, terms or pooled regions than can be scanned");
        ok = 0;
    }
    int planes = low.buf && step.buf && middle.buf && bounds.buf && coarse.buf && (errors.buf || fine.buf);
    int sketches = !low.buf && !step.buf && !middle.buf && !bounds.buf && coarse.buf && !fine.buf && !errors.buf;
    if (!codes.buf && !planes && !sketches) {
        PyErr_SetString(PyExc_ValueError, "neither codes nor planes nor sketches");
        ok = 0;
    }
    if (squares.buf && (!planes || !fine.buf || errors.buf || job.terms != 1)) {
        PyErr_SetString(PyExc_ValueError, "cosines are those of one query with both planes");
        ok = 0;
    }
    ok = ok && fits(&squares, (int64_t)job.dims * 4, "squares") && fits(&low, photos * job.width, "low") && fits(&step, photos * job.width, "step") &&
         fits(&coarse, photos * plane, "coarse") && fits(&fine, photos * plane, "fine") &&
         fits(&middle, photos * job.width, "middle") &&
         fits(&bounds, photos * 8 * job.sizes, "bounds") &&
         fits(&codes, photos * job.regions * job.dims, "codes") &&
         fits(&queries, (int64_t)job.terms * job.dims * 4, "queries") &&
         fits(&scores, rows * job.terms * 4, "scores") && fits(&errors, rows * job.terms * 4, "errors");
    if (ok && chosen.buf)
        for (int64_t i = 0; i < rows; i++) {
            int64_t photo = ((const int64_t *)chosen.buf)[i];
            if (photo < 0 || photo >= photos) {
                PyErr_SetString(PyExc_IndexError, "a chosen photo is not there");
                ok = 0;
                break;
            }
        }
    if (ok) {
        job.low = low.buf, job.step = step.buf, job.coarse = coarse.buf, job.fine = fine.buf;
        job.middle = middle.buf, job.bounds = bounds.buf, job.codes = codes.buf, job.chosen = chosen.buf;
        job.queries = queries.buf, job.squares = squares.buf, job.scores = scores.buf, job.errors = errors.buf;
        job.photos = rows;
#if X86
        __builtin_cpu_init();
        job.vnni = instructions >= 2 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl");
        job.avx2 = instructions >= 1 && __builtin_cpu_supports("avx2");
#endif
        Py_BEGIN_ALLOW_THREADS
        run(&job, threads);
        Py_END_ALLOW_THREADS
    }
    Py_buffer *all[] = {&low,    &step,    &middle,  &bounds, &coarse, &fine,
                        &codes, &chosen, &queries, &squares, &scores, &errors};
    for (int i = 0; i < 12; i++)
        if (all[i]->obj) PyBuffer_Release(all[i]);
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
    {"scan", scan, METH_VARARGS, "Pooled scores of photos; engine.library.scan says of what."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_scan", "Scans region maps.", -1, methods};

PyMODINIT_FUNC PyInit__scan(void)
{
    return PyModule_Create(&module);
}
