/* Runs a kernel's jobs on threads that live as long as the call: nothing to break after a fork. */
#ifndef TL_JOBS_H
#define TL_JOBS_H

#include "lanes.h"
#include "threads.h"

/* `run` does a job with a scratch of its own; `finish` gives its gradients away, NULL for none. */
typedef void (*job_function)(const void *kernel, int64_t job, char *scratch);

typedef struct {
    const tl_sizes *sizes;
    const void *kernel;
    job_function run, finish;
    char *scratch;
    int64_t first, last;
} job_share;

static void run_share(void *argument) {
    const job_share *share = argument;
    for (int64_t job = share->first; job < share->last; job++) {
        share->run(share->kernel, job, share->scratch);
        if (share->finish && !share->sizes->shared) share->finish(share->kernel, job, share->scratch);
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
    char *scratch = aligned_bytes(bytes * (size_t)threads);
    if (!scratch) return TL_NO_MEMORY;
    job_share shares[MOST_THREADS];
    tl_thread running[MOST_THREADS];
    int64_t k;
    for (k = 0; k < threads; k++)
        shares[k] = (job_share){sizes,
                                kernel,
                                run,
                                finish,
                                scratch + bytes * (size_t)k,
                                k * jobs / threads,
                                (k + 1) * jobs / threads};
    for (k = 1; k < threads; k++)
        if (!tl_thread_start(&running[k], run_share, &shares[k])) break;
    run_share(&shares[0]);
    for (int64_t rest = k; rest < threads; rest++) run_share(&shares[rest]); /* no thread to be had */
    for (int64_t r = 1; r < k; r++) tl_thread_join(&running[r]);
    if (finish && sizes->shared)
        for (int64_t job = 0; job < jobs; job++) finish(kernel, job, scratch + bytes * (size_t)job);
    free_aligned(scratch);
    return TL_OK;
}

#endif
