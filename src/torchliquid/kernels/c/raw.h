/* Positive constants of neurons from their raw parameters, and gradients back to these. */
#ifndef TL_RAW_H
#define TL_RAW_H

#include <math.h>

#include "vector.h"

/* Square root of the smallest normal number, a little above: the square of its inverse is finite. */
#if TL_REAL == 32
#define TAU_LEAST 1.0842022e-19f
#else
#define TAU_LEAST 1.4916681462400413e-154
#endif

/* log(1 + e^x), by libm: few numbers, once a call; not below TAU_LEAST. `alike`: all lanes are. */
static void positive(vec *values, int64_t n, int64_t alike) {
    for (int64_t j = 0; j < n; j++) {
        for (int64_t k = 0; k < WIDTH; k++) {
            real x = values[j][k];
            if (alike && k)
                values[j][k] = values[j][0];
            else
                values[j][k] = (real)(log1p(exp(-fabs((double)x))) + (x > 0 ? x : 0));
        }
        values[j] = choose(values[j] < TAU_LEAST, splat(TAU_LEAST), values[j]);
    }
}

/* From the gradient of a constant to that of its raw parameter: the softplus' slope is a logistic
 * function, 1 - e^-value. */
INLINE vec raw_gradient(vec gradient, vec value) {
    return choose(value > TAU_LEAST, gradient * -vexpm1(-value), splat(0));
}

#endif
