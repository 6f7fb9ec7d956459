/* The exponential of a synapse's gate, in base 2: cheaper than e^x, as no ln 2 has to be split.
 *
 * The gates are nearly all that the synaptic LTC computes. 2^y = 2^n 2^r with |r| <= 1/2, and 2^r is
 * a polynomial. What it is wrong by, a unit in the last place, is a quarter of that in the gate
 * 1 / (1 + 2^y).
 */
#ifndef TL_POWER_H
#define TL_POWER_H

#include "vector.h"

#define POWER_LIMIT (GATE_LIMIT * EXP_LOG2E)
#define LN2 0.693147180559945309417
#define LN2_2 (LN2 * LN2)
#define LN2_4 (LN2_2 * LN2_2)
#define LN2_8 (LN2_4 * LN2_4)

/* 2^r for |r| <= 1/2. */
INLINE vec power_part(vec r) {
#if TL_REAL == 32 /* the least relative error of its degree: 7.5e-8 */
    vec q = r * 1.3276474e-3f + 9.6755417e-3f;
    q = q * r + 5.5507133e-2f;
    q = q * r + 2.4022120e-1f;
    q = q * r + 6.9314697e-1f;
#else
#define TERM(power, factorial) ((power) / (factorial))
    vec q = r * TERM(LN2_8 * LN2_4 * LN2, 6227020800.0) + TERM(LN2_8 * LN2_4, 479001600.0);
    q = q * r + TERM(LN2_8 * LN2_2 * LN2, 39916800.0);
    q = q * r + TERM(LN2_8 * LN2_2, 3628800.0);
    q = q * r + TERM(LN2_8 * LN2, 362880.0);
    q = q * r + TERM(LN2_8, 40320.0);
    q = q * r + TERM(LN2_4 * LN2_2 * LN2, 5040.0);
    q = q * r + TERM(LN2_4 * LN2_2, 720.0);
    q = q * r + TERM(LN2_4 * LN2, 120.0);
    q = q * r + TERM(LN2_4, 24.0);
    q = q * r + TERM(LN2_2 * LN2, 6.0);
    q = q * r + TERM(LN2_2, 2.0);
    q = q * r + LN2;
#undef TERM
#endif
    return q * r + 1;
}

/* 1 + 2^y, y limited so that products with it stay finite. */
INLINE vec one_plus_power(vec y) {
#if defined(__AVX512F__) && TL_BYTES == 64 && TL_REAL == 32
    y = vec_min(splat(POWER_LIMIT), y);
    vec n = (vec)_mm512_roundscale_ps((__m512)y, 0);
    return 1 + (vec)_mm512_scalef_ps((__m512)power_part(y - n), (__m512)n);
#else
    y = clamp(y, POWER_LIMIT);
    vec shifted = y + EXP_MAGIC;
    return power_of_two(shifted) * power_part(y - (shifted - EXP_MAGIC)) + 1;
#endif
}

#endif
