/* Runs a kernel's jobs on threads that live as long as the call: nothing to break after a fork. */
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

static int run_jobs(const tl_sizes *sizes, const void *kernel, size_t bytes, job_function run,
                    job_function finish) {
    int64_t jobs = job_count(sizes), threads = sizes->threads < jobs ? sizes->threads : jobs;
    if (threads > MOST_THREADS) threads = MOST_THREADS;
    if (threads < 1) threads = 1;
    int later = finish && sizes->shared && threads > 1;
    char *scratch = aligned_bytes(bytes * (size_t)(later ? jobs : threads));
    if (!scratch) return TL_NO_MEMORY;
    job_share shares[MOST_THREADS];
    tl_thread running[MOST_THREADS];
    int64_t k;
    for (k = 0; k < threads; k++) {
        int64_t first = k * jobs / threads, last = (k + 1) * jobs / threads;
        shares[k] = (job_share){
            kernel, run, finish, scratch + bytes * (size_t)(later ? first : k), later ? bytes : 0,
            first,  last, finish && !later};
    }
    for (k = 1; k < threads; k++)
        if (!tl_thread_start(&running[k], run_share, &shares[k])) break;
    run_share(&shares[0]);
    for (int64_t rest = k; rest < threads; rest++) run_share(&shares[rest]); /* no thread to be had */
    for (int64_t r = 1; r < k; r++) tl_thread_join(&running[r]);
    if (later)
        for (int64_t job = 0; job < jobs; job++) finish(kernel, job, scratch + bytes * (size_t)job);
    free_aligned(scratch);
    return TL_OK;
}

#endif
