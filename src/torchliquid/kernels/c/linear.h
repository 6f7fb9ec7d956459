/* A linear map at every step of every lane, y = W x + b: the readout of a pack. */
#include "jobs.h"

typedef struct {
    real *weight, *weight_t, *weight_sum;
    vec *bias, *bias_sum, *x, *y, *zero;
    int64_t chunk;
} linear_scratch;

static size_t linear_take(const tl_linear *p, char *base, linear_scratch *l) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t I = s->inputs, O = s->hidden, one = weight_size(s);
    l->chunk = chunk_steps(s, padded(I) + padded(O));
    l->weight = arena_alloc(&a, padded(O) * I * one);
    l->weight_t = arena_alloc(&a, padded(I) * O * one);
    l->weight_sum = arena_alloc(&a, O * I * one);
    l->bias = arena_vectors(&a, padded(O));
    l->bias_sum = arena_vectors(&a, padded(O));
    l->zero = arena_vectors(&a, padded(I));
    l->x = arena_vectors(&a, l->chunk * padded(I));
    l->y = arena_vectors(&a, l->chunk * padded(O));
    return a.used;
}

static void linear_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_linear *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, O = s->hidden, first, last;
    linear_scratch l;
    linear_take(p, base, &l);
    job_columns(s, job, &first, &last);
    pack_matrix(s, &p->weight, column_at(s, first), 0, O, I, 0, l.weight);
    pack_vector(&p->bias, column_at(s, first), O, l.bias);
    for (int64_t index = first; index < last; index++) {
        column c = column_at(s, index);
        for (int64_t t = 0; t < s->steps; t++) {
            gather_row(&p->x, c, t, I, l.x);
            product(s, 1, l.weight, O, I, l.bias, 0, l.x, 0, l.y, 0);
            scatter_row(&p->y, c, t, O, l.y);
        }
    }
}

static int linear_forward(const tl_linear *p) {
    linear_scratch l;
    return run_jobs(&p->sizes, p, linear_take(p, NULL, &l), linear_forward_job, NULL);
}

static void linear_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_linear *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, O = s->hidden, Ip = padded(I), Op = padded(O), first, last;
    linear_scratch l;
    linear_take(p, base, &l);
    memset(base, 0, linear_take(p, NULL, &(linear_scratch){0}));
    job_columns(s, job, &first, &last);
    pack_matrix(s, &p->weight, column_at(s, first), 0, I, O, 1, l.weight_t);
    for (int64_t index = first; index < last; index++) {
        column c = column_at(s, index);
        for (int64_t from = 0; from < s->steps; from += l.chunk) {
            int64_t n = s->steps - from < l.chunk ? s->steps - from : l.chunk;
            for (int64_t t = 0; t < n; t++) {
                gather_row(&p->x, c, from + t, I, l.x + t * Ip);
                gather_gradient(&p->grad_y, c, from + t, O, l.y + t * Op);
            }
            add_outer(s, O, I, n, l.y, Op, l.x, Ip, l.weight_sum);
            add_rows(O, n, l.y, Op, l.bias_sum);
            if (!p->grad_x.data) continue;
            for (int64_t t = 0; t < n; t++) {
                product(s, 1, l.weight_t, I, O, l.zero, 0, l.y + t * Op, 0, l.x, 0);
                scatter_row(&p->grad_x, c, from + t, I, l.x);
            }
        }
    }
}

static void linear_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_linear *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t first, last;
    linear_scratch l;
    linear_take(p, base, &l);
    job_columns(s, job, &first, &last);
    column c = column_at(s, first);
    give_matrix(s, job, &p->grad_weight, c, 0, s->hidden, s->inputs, l.weight_sum);
    give_vector(s, job, &p->grad_bias, c, s->hidden, l.bias_sum);
}

static int linear_backward(const tl_linear *p) {
    linear_scratch l;
    return run_jobs(&p->sizes, p, linear_take(p, NULL, &l), linear_backward_job,
                    linear_backward_finish);
}
