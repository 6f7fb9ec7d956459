/* Threads: torch's own OpenMP workers where they are at hand, else POSIX's or Windows'. */
#ifndef TL_THREADS_H
#define TL_THREADS_H

#include <stddef.h>

enum { MOST_THREADS = 256 };

/* Call `function` with each of `count` arguments of `size` bytes that follow one another, on at most
 * `threads` threads, MOST_THREADS where they are ours; all calls have ended when this returns. */
void tl_call_each(void (*function)(void *), void *arguments, size_t size, int count, int threads);

#endif
