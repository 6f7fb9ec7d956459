/* SIMD registers of TL_BYTES bytes as the GCC/Clang vector extension has them, and the functions of
 * an exponential on them. One element, one lane: no operation mixes lanes but `sum_lanes`.
 *
 * exp, sigmoid and tanh rest on e^r - 1 for |r| <= ln(2)/2, a polynomial right to half a unit in the
 * last place, and on x = n ln 2 + r.
 */
#ifndef TL_VECTOR_H
#define TL_VECTOR_H

#include <stdint.h>
#include <string.h>
#if defined(__AVX__)
#include <immintrin.h>
#endif

#if TL_REAL == 32
typedef float real;
typedef int32_t whole;
#define EXP_BITS 23
#define EXP_MAGIC 12582912.0f /* 1.5 2^23: adding it rounds to a whole number */
#define EXP_LOG2E 1.44269504088896341f
#define EXP_LN2 0.693147180559945309f
#define EXP_LN2_HIGH 0.693359375f /* few bits: n * high is exact */
#define EXP_LN2_LOW -2.12194440054690583e-4f
#define EXP_LIMIT 87.0f
#define GATE_LIMIT 30.0f
#else
typedef double real;
typedef int64_t whole;
#define EXP_BITS 52
#define EXP_MAGIC 6755399441055744.0
#define EXP_LOG2E 1.44269504088896340736
#define EXP_LN2_HIGH 6.93145751953125e-1
#define EXP_LN2_LOW 1.42860682030941723212e-6
#define EXP_LIMIT 708.0
#define GATE_LIMIT 200.0
#endif

typedef real vec __attribute__((vector_size(TL_BYTES)));
typedef whole mask __attribute__((vector_size(TL_BYTES)));

#define WIDTH ((int64_t)(TL_BYTES / sizeof(real)))
#define INLINE static inline __attribute__((always_inline))

INLINE vec splat(real a) { return a - (vec){0}; }

INLINE vec load(const real *from) {
    vec v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(real *to, vec v) { memcpy(to, &v, sizeof v); }

INLINE vec choose(mask where, vec yes, vec no) {
    return (vec)((where & (mask)yes) | (~where & (mask)no));
}

/* vec_min, vec_max: where the first is a limit and the second NaN, NaN. reciprocal: to a unit or two in
 * the last place, from the processor's estimate and one step of Newton where that is faster. */
#if defined(__AVX512F__) && TL_BYTES == 64 && TL_REAL == 32
INLINE vec vec_min(vec limit, vec v) { return (vec)_mm512_min_ps((__m512)limit, (__m512)v); }
INLINE vec vec_max(vec limit, vec v) { return (vec)_mm512_max_ps((__m512)limit, (__m512)v); }
INLINE vec reciprocal(vec v) {
    vec r = (vec)_mm512_rcp14_ps((__m512)v);
    return r + r * (1 - v * r);
}
#elif defined(__AVX512F__) && TL_BYTES == 64
INLINE vec vec_min(vec limit, vec v) { return (vec)_mm512_min_pd((__m512d)limit, (__m512d)v); }
INLINE vec vec_max(vec limit, vec v) { return (vec)_mm512_max_pd((__m512d)limit, (__m512d)v); }
INLINE vec reciprocal(vec v) { return 1 / v; }
#elif defined(__AVX__) && TL_BYTES == 32 && TL_REAL == 32
INLINE vec vec_min(vec limit, vec v) { return (vec)_mm256_min_ps((__m256)limit, (__m256)v); }
INLINE vec vec_max(vec limit, vec v) { return (vec)_mm256_max_ps((__m256)limit, (__m256)v); }
INLINE vec reciprocal(vec v) { return 1 / v; }
#elif defined(__AVX__) && TL_BYTES == 32
INLINE vec vec_min(vec limit, vec v) { return (vec)_mm256_min_pd((__m256d)limit, (__m256d)v); }
INLINE vec vec_max(vec limit, vec v) { return (vec)_mm256_max_pd((__m256d)limit, (__m256d)v); }
INLINE vec reciprocal(vec v) { return 1 / v; }
#else
INLINE vec vec_min(vec limit, vec v) { return choose(v > limit, limit, v); }
INLINE vec vec_max(vec limit, vec v) { return choose(v < limit, limit, v); }
INLINE vec reciprocal(vec v) { return 1 / v; }
#endif

INLINE vec clamp(vec v, real limit) { return vec_max(splat(-limit), vec_min(splat(limit), v)); }

/* zip(a, b) is a0 b0 a1 b1 ...: its first and second register, and the halves of one swapped. */
#if TL_BYTES * 8 / TL_REAL == 2
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 2)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 1, 3)
#define SWAPPED(a, n) __builtin_shufflevector(a, a, 0 ^ (n), 1 ^ (n))
#elif TL_BYTES * 8 / TL_REAL == 4
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
#define SWAPPED(a, n) __builtin_shufflevector(a, a, 0 ^ (n), 1 ^ (n), 2 ^ (n), 3 ^ (n))
#elif TL_BYTES * 8 / TL_REAL == 8
#define ZIP_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define ZIP_HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define SWAPPED(a, n)                                                                         \
    __builtin_shufflevector(a, a, 0 ^ (n), 1 ^ (n), 2 ^ (n), 3 ^ (n), 4 ^ (n), 5 ^ (n), 6 ^ (n), \
                            7 ^ (n))
#else
#define ZIP_LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define ZIP_HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define SWAPPED(a, n)                                                                          \
    __builtin_shufflevector(a, a, 0 ^ (n), 1 ^ (n), 2 ^ (n), 3 ^ (n), 4 ^ (n), 5 ^ (n), 6 ^ (n), \
                            7 ^ (n), 8 ^ (n), 9 ^ (n), 10 ^ (n), 11 ^ (n), 12 ^ (n), 13 ^ (n),   \
                            14 ^ (n), 15 ^ (n))
#endif

INLINE real sum_lanes(vec v) {
#if TL_BYTES * 8 / TL_REAL >= 16
    v += SWAPPED(v, 8);
#endif
#if TL_BYTES * 8 / TL_REAL >= 8
    v += SWAPPED(v, 4);
#endif
#if TL_BYTES * 8 / TL_REAL >= 4
    v += SWAPPED(v, 2);
#endif
    v += SWAPPED(v, 1);
    return v[0];
}

/* A square of WIDTH registers, transposed: zipping its halves once for each bit of an index. */
INLINE void transpose(vec square[TL_BYTES * 8 / TL_REAL]) {
    enum { N = TL_BYTES * 8 / TL_REAL };
    vec other[N];
#pragma GCC unroll 4
    for (int bit = 1; bit < N; bit *= 2) {
#pragma GCC unroll 16
        for (int k = 0; k < N / 2; k++) {
            other[2 * k] = ZIP_LOW(square[k], square[k + N / 2]);
            other[2 * k + 1] = ZIP_HIGH(square[k], square[k + N / 2]);
        }
#pragma GCC unroll 16
        for (int k = 0; k < N; k++) square[k] = other[k];
    }
}

/* e^r - 1 for |r| <= ln(2)/2. */
INLINE vec exp_less_one(vec r) {
    vec q;
#if TL_REAL == 32 /* fitted to (e^r - 1 - r)/r^2 at Chebyshev's points: 1e-8 */
    q = r * 1.39337332e-3f + 8.36323538e-3f;
    q = q * r + 4.16664642e-2f;
    q = q * r + 1.66665766e-1f;
    q = q * r + 0.5f;
#else
    q = r * (1.0 / 6227020800) + 1.0 / 479001600;
    q = q * r + 1.0 / 39916800;
    q = q * r + 1.0 / 3628800;
    q = q * r + 1.0 / 362880;
    q = q * r + 1.0 / 40320;
    q = q * r + 1.0 / 5040;
    q = q * r + 1.0 / 720;
    q = q * r + 1.0 / 120;
    q = q * r + 1.0 / 24;
    q = q * r + 1.0 / 6;
    q = q * r + 0.5;
#endif
    return q * (r * r) + r;
}

/* 2^n, n the whole number that adding EXP_MAGIC left in the last bits of `shifted`. */
INLINE vec power_of_two(vec shifted) {
    return (vec)(((mask)shifted << EXP_BITS) + (mask)splat(1));
}

/* e^x = scale (1 + result) for |x| <= EXP_LIMIT. */
INLINE vec exp_parts(vec x, vec *scale) {
    vec shifted = x * EXP_LOG2E + splat(EXP_MAGIC);
    vec n = shifted - EXP_MAGIC;
    vec r = x - n * EXP_LN2_HIGH;
    *scale = power_of_two(shifted);
    return exp_less_one(r - n * EXP_LN2_LOW);
}

INLINE vec vexp(vec x) {
    vec scale, q = exp_parts(clamp(x, EXP_LIMIT), &scale);
    return scale * q + scale;
}

/* e^x - 1, exact to the last places where x is small. */
INLINE vec vexpm1(vec x) {
    vec scale, q = exp_parts(clamp(x, EXP_LIMIT), &scale);
    return scale * q + (scale - 1);
}

/* e^-z of a gate's input z, limited so that its square stays finite: where the limit bites, the gate
 * is closed to 1e-13 (single precision) or 1e-87. */
INLINE vec gate_exp(vec z) {
    z = clamp(z, GATE_LIMIT);
#if TL_REAL == 32 /* ln 2 in one piece: where n is large, the gate does not feel e's last bits */
    vec shifted = splat(EXP_MAGIC) - z * EXP_LOG2E;
    vec n = shifted - EXP_MAGIC;
    vec scale = power_of_two(shifted), q = exp_less_one(-(n * EXP_LN2 + z));
#else
    vec scale, q = exp_parts(-z, &scale);
#endif
    return scale * q + scale;
}

INLINE vec sigmoid(vec z) { return reciprocal(1 + gate_exp(z)); }

/* Through e^2x - 1, so that tanh of a small x is as exact as x. */
INLINE vec vtanh(vec x) {
    vec scale, q = exp_parts(clamp(2 * x, 60), &scale);
    vec less = scale * q + (scale - 1);
    return less * reciprocal(less + 2);
}

#endif
