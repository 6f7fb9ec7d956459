#if !defined(_WIN32)
#define _GNU_SOURCE /* RTLD_DEFAULT */
#endif
#include "threads.h"

typedef struct {
    void (*function)(void *);
    char *arguments;
    size_t size;
    int count, next;
} work;

static void take_turns(void *shared) {
    work *w = shared;
    int k;
    while ((k = __atomic_fetch_add(&w->next, 1, __ATOMIC_RELAXED)) < w->count)
        w->function(w->arguments + w->size * (size_t)k);
}

#if defined(_WIN32)

#include <process.h>
#include <windows.h>

typedef HANDLE thread;

static unsigned __stdcall enter(void *shared) {
    take_turns(shared);
    return 0;
}

static int start(thread *t, work *w) {
    *t = (HANDLE)_beginthreadex(NULL, 0, enter, w, 0, NULL);
    return *t != NULL;
}

static void join(thread t) {
    WaitForSingleObject(t, INFINITE);
    CloseHandle(t);
}

static int on_workers_of_torch(work *w, int threads) {
    (void)w;
    (void)threads;
    return 0;
}

#else

#include <dlfcn.h>
#include <pthread.h>

typedef pthread_t thread;

static void *enter(void *shared) {
    take_turns(shared);
    return NULL;
}

static int start(thread *t, work *w) { return !pthread_create(t, 0, enter, w); }

static void join(thread t) { pthread_join(t, 0); }

/* After its parallel loops torch's workers spin for milliseconds, and a thread of ours would wait for
 * a processor as long. So ours is the workers' work: of whatever OpenMP torch has loaded, by the name
 * that GNU's and LLVM's give it. This library is not linked to any. */
typedef void (*parallel_function)(void (*)(void *), void *, unsigned, unsigned);

static parallel_function parallel;
static int looked, forked; /* a child has no workers, and OpenMP does not know */

static void in_child(void) { forked = 1; }

__attribute__((constructor)) static void watch_forks(void) {
    pthread_atfork(NULL, NULL, in_child);
}

static int on_workers_of_torch(work *w, int threads) {
    if (!__atomic_load_n(&looked, __ATOMIC_ACQUIRE)) {
        *(void **)&parallel = dlsym(RTLD_DEFAULT, "GOMP_parallel");
        __atomic_store_n(&looked, 1, __ATOMIC_RELEASE);
    }
    if (!parallel || forked) return 0;
    /* as many as torch asks for: a team of another size would end and start workers */
    parallel(take_turns, w, (unsigned)threads, 0);
    return 1;
}

#endif

void tl_call_each(void (*function)(void *), void *arguments, size_t size, int count, int threads) {
    work w = {function, arguments, size, count, 0};
    thread running[MOST_THREADS];
    int others = 0, wanted = threads < count ? threads : count;
    if (wanted > 1 && !on_workers_of_torch(&w, threads))
        while (others < wanted - 1 && others < MOST_THREADS && start(&running[others], &w)) others++;
    take_turns(&w); /* what is left, also where the system has no thread to give */
    while (others) join(running[--others]);
}
