/* Threads, as POSIX or Windows has them. */
#ifndef TL_THREADS_H
#define TL_THREADS_H

typedef struct {
    void (*function)(void *);
    void *argument;
#if defined(_WIN32)
    void *handle;
#else
    unsigned long handle;
#endif
} tl_thread;

/* 1 if the thread runs, 0 if the system has none to give. */
int tl_thread_start(tl_thread *thread, void (*function)(void *), void *argument);
void tl_thread_join(tl_thread *thread);

#endif
