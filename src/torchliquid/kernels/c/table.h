/* The kernels of one instruction set and one real type. */
#ifndef TL_TABLE_H
#define TL_TABLE_H

#include "torchliquid.h"

/* Every kernel: its struct is tl_<name>, its functions <name>_forward and <name>_backward; those without
 * a way back. */
#define TL_KERNELS(X) \
    X(ltc)            \
    X(linear)         \
    X(gated)          \
    X(synaptic)       \
    X(arrivals)       \
    X(padding)        \
    X(resonator)      \
    X(filter)         \
    X(cfc)
#define TL_ONE_WAY(X) \
    X(sum)            \
    X(fit)

#define TL_POINTERS(name)                    \
    int (*name##_forward)(const tl_##name *); \
    int (*name##_backward)(const tl_##name *);

#define TL_POINTER(name) int (*name##_forward)(const tl_##name *);

typedef struct {
    int64_t width; /* lanes of a register */
    TL_KERNELS(TL_POINTERS)
    TL_ONE_WAY(TL_POINTER)
} tl_table;

#endif
