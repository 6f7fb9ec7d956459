/* Shares a kernel's jobs out between threads. */
#ifndef TL_JOBS_H
#define TL_JOBS_H

#include "lanes.h"
#include "threads.h"

/* `run` does a job in its scratch; `finish` gives its gradients away, NULL for none. Jobs of a shared
 * model finish one after another, in order, so that sums do not depend on threads: with several of
 * these, each job keeps a scratch of its own until all have run. */
typedef void (*job_function)(const void *kernel, int64_t job, char *scratch);

typedef struct {
    const void *kernel;
    job_function run, finish;
    char *scratch; /* of the first job; the next one's lies `gap` bytes behind, 0: they share it */
    size_t gap;
    int64_t first, last;
    int finish_now;
} job_share;

static void run_share(void *argument) {
    const job_share *share = argument;
    char *scratch = share->scratch;
    for (int64_t job = share->first; job < share->last; job++, scratch += share->gap) {
        share->run(share->kernel, job, scratch);
        if (share->finish_now) share->finish(share->kernel, job, scratch);
    }
}

static char *aligned_bytes(size_t bytes) {
    /* 64: a cache line. The pointer that free wants is kept just before. */
    char *raw = malloc(bytes + 128);
    if (!raw) return NULL;
    char *aligned = raw + 64 + (64 - (uintptr_t)raw % 64) % 64;
    memcpy(aligned - sizeof raw, &raw, sizeof raw);
    return aligned;
}

static void free_aligned(char *aligned) {
    char *raw;
    memcpy(&raw, aligned - sizeof raw, sizeof raw);
    free(raw);
}

/* Multiplications, about, of one sub-step: below a fifth of a millisecond a second thread costs more
 * time than it saves. */
enum { WORTH_THREADS = 1 << 21 };

static double work_of(const tl_sizes *s) {
    double neurons = (double)s->lanes * (double)s->batch * (double)s->steps * (double)s->hidden;
    return neurons * (double)(s->hidden + s->inputs + 16);
}

static int run_jobs(const tl_sizes *sizes, const void *kernel, size_t bytes, job_function run,
                    job_function finish) {
    int64_t jobs = job_count(sizes), threads = sizes->threads < jobs ? sizes->threads : jobs;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (work_of(sizes) < WORTH_THREADS) threads = 1;
    int later = finish && sizes->shared && threads > 1;
    char *scratch = aligned_bytes(bytes * (size_t)(later ? jobs : threads));
    if (!scratch) return TL_NO_MEMORY;
    job_share shares[MOST_THREADS];
    for (int64_t k = 0; k < threads; k++) {
        int64_t first = k * jobs / threads, last = (k + 1) * jobs / threads;
        shares[k] = (job_share){
            kernel, run, finish, scratch + bytes * (size_t)(later ? first : k), later ? bytes : 0,
            first,  last, finish && !later};
    }
    tl_call_each(run_share, shares, sizeof *shares, (int)threads, (int)sizes->threads);
    if (later)
        for (int64_t job = 0; job < jobs; job++) finish(kernel, job, scratch + bytes * (size_t)job);
    free_aligned(scratch);
    return TL_OK;
}

/* Jobs that are rows of a batch of every lane, and share nothing. */
static int share_rows(const void *kernel, const tl_sizes *sizes, size_t bytes, double work,
                      job_function run) {
    int64_t jobs = sizes->lanes * sizes->batch;
    int64_t threads = sizes->threads < jobs ? sizes->threads : jobs;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (work < WORTH_THREADS) threads = 1;
    char *scratch = aligned_bytes(bytes * (size_t)threads);
    if (!scratch) return TL_NO_MEMORY;
    job_share shares[MOST_THREADS];
    for (int64_t k = 0; k < threads; k++)
        shares[k] = (job_share){kernel, run, NULL, scratch + bytes * (size_t)k, 0, k * jobs / threads,
                                (k + 1) * jobs / threads, 0};
    tl_call_each(run_share, shares, sizeof *shares, (int)threads, (int)sizes->threads);
    free_aligned(scratch);
    return TL_OK;
}

#endif
