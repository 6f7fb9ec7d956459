#include "threads.h"

#if defined(_WIN32)

#include <process.h>
#include <windows.h>

static unsigned __stdcall enter(void *argument) {
    tl_thread *thread = argument;
    thread->function(thread->argument);
    return 0;
}

int tl_thread_start(tl_thread *thread, void (*function)(void *), void *argument) {
    thread->function = function;
    thread->argument = argument;
    thread->handle = (void *)_beginthreadex(NULL, 0, enter, thread, 0, NULL);
    return thread->handle != NULL;
}

void tl_thread_join(tl_thread *thread) {
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

#else

#include <pthread.h>

_Static_assert(sizeof(pthread_t) <= sizeof(unsigned long), "a pthread_t must fit tl_thread.handle");

static void *enter(void *argument) {
    tl_thread *thread = argument;
    thread->function(thread->argument);
    return 0;
}

int tl_thread_start(tl_thread *thread, void (*function)(void *), void *argument) {
    pthread_t handle;
    thread->function = function;
    thread->argument = argument;
    if (pthread_create(&handle, 0, enter, thread)) return 0;
    thread->handle = (unsigned long)handle;
    return 1;
}

void tl_thread_join(tl_thread *thread) { pthread_join((pthread_t)thread->handle, 0); }

#endif
