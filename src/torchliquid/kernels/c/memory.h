/* The memory of an LSTM before a cell: it makes the state that the cell's step starts from.
 *
 * Equations in nn/mixed_memory.py; rows are i, f, g, o here, as torch has them, and the forget gate's
 * bias is higher already. A cell's kernel calls it at every step of every column: forwards before its
 * own step, backwards after it, with g of the state that came out of the memory.
 */
#ifndef TL_MEMORY_H
#define TL_MEMORY_H

#include "jobs.h"

enum { MEMORY_KEPT = 5, MEMORY_CHUNK = 16 };

typedef struct {
    const tl_memory *of;
    real *input, *recurrent; /* four gates, each padded, one below the other; or transposes */
    vec *bias, *zero, *u, *now, *c, *c_before, *gc;
    /* backward: sums, and a chunk of steps that are not summed yet, in any order */
    real *weight_ih, *weight_hh;
    vec *bias_sum, *x, *h, *du, *dx;
    int64_t count;
    size_t zero_from, zero_to;
} memory;

INLINE int memory_is_there(const tl_memory *p) { return p->weight_ih.data != NULL; }

/* `tile` columns have a c and a gc of their own. */
static void memory_take(arena *a, const tl_memory *p, const tl_sizes *s, int backward, memory *m) {
    m->of = p;
    if (!memory_is_there(p)) return;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), Ip = padded(I), one = weight_size(s);
    int64_t rows = 4 * Hp, most = Ip > Hp ? Ip : Hp;
    m->input = arena_alloc(a, (backward ? Ip * rows : rows * I) * one);
    m->recurrent = arena_alloc(a, (backward ? Hp * rows : rows * H) * one);
    m->bias = arena_vectors(a, rows);
    m->zero = arena_vectors(a, most);
    m->u = arena_vectors(a, rows);
    m->now = arena_vectors(a, Ip);
    m->c = arena_vectors(a, TILE * Hp);
    m->c_before = arena_vectors(a, Hp);
    m->gc = arena_vectors(a, TILE * Hp);
    if (!backward) return;
    m->dx = arena_vectors(a, most);
    m->zero_from = a->used; /* the padding of a chunk must be zero, and stays so */
    m->weight_ih = arena_alloc(a, 4 * H * I * one);
    m->weight_hh = arena_alloc(a, 4 * H * H * one);
    m->bias_sum = arena_vectors(a, rows);
    m->x = arena_vectors(a, MEMORY_CHUNK * Ip);
    m->h = arena_vectors(a, MEMORY_CHUNK * Hp);
    m->du = arena_vectors(a, MEMORY_CHUNK * rows);
    m->zero_to = a->used;
    m->count = 0;
}

/* One gate's rows of a matrix or vector. */
INLINE tl_view memory_part(const tl_view *v, int64_t gate, int64_t H, int matrix) {
    tl_view part = *v;
    if (part.data) part.data = (real *)part.data + gate * H * (matrix ? part.row : part.item);
    return part;
}

/* The transpose of a matrix of four gates, each padded by itself: columns are its rows. */
static void memory_transpose(const tl_sizes *s, const tl_view *v, column c, int64_t columns, real *to) {
    int64_t H = s->hidden, gap = 4 * padded(H);
    memset(to, 0, (size_t)(padded(columns) * gap * weight_size(s)) * sizeof(real));
    const real *from = element(v, c, 0);
    for (int64_t row = 0; row < 4 * H; row++)
        for (int64_t i = 0; i < columns; i++) {
            int64_t at = row / H * padded(H) + row % H;
            int64_t place = (i / ROWS * gap + at) * ROWS + i % ROWS;
            const real *weight = from + row * v->row + i * v->item;
            if (s->shared)
                to[place] = *weight;
            else
                ((vec *)to)[place] = gather(weight, v->lane, c.valid);
        }
}

static void memory_pack(const tl_sizes *s, column c, int backward, char *base, memory *m) {
    const tl_memory *p = m->of;
    if (!memory_is_there(p)) return;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), one = weight_size(s);
    memset(m->zero, 0, (size_t)(padded(I) > Hp ? padded(I) : Hp) * sizeof(vec));
    for (int64_t k = 0; k < 4; k++) {
        tl_view bias = memory_part(&p->bias, k, H, 0);
        pack_vector(&bias, c, H, m->bias + k * Hp);
        if (backward) continue;
        tl_view ih = memory_part(&p->weight_ih, k, H, 1), hh = memory_part(&p->weight_hh, k, H, 1);
        pack_matrix(s, &ih, c, 0, H, I, 0, m->input + k * Hp * I * one);
        pack_matrix(s, &hh, c, 0, H, H, 0, m->recurrent + k * Hp * H * one);
    }
    if (!backward) return;
    memory_transpose(s, &p->weight_ih, c, I, m->input);
    memory_transpose(s, &p->weight_hh, c, H, m->recurrent);
    memset(base + m->zero_from, 0, m->zero_to - m->zero_from);
}

INLINE vec *memory_kept(const memory *m, const tl_sizes *s, column c, int64_t t) {
    return (vec *)m->of->kept + (c.index * s->steps + t) * MEMORY_KEPT * s->hidden;
}

/* Starts a column, the k-th of its tile. */
static void memory_start(const memory *m, const tl_sizes *s, column c, int k, int backward) {
    if (!memory_is_there(m->of)) return;
    vec *to = (backward ? m->gc : m->c) + k * padded(s->hidden);
    if (backward)
        memset(to, 0, (size_t)s->hidden * sizeof *to);
    else
        gather_row(&m->of->c0, c, 0, s->hidden, to);
}

/* h becomes the state that the cell starts from. */
static void memory_advance(const memory *m, const tl_sizes *s, column c, int k, int64_t t, vec *h) {
    if (!memory_is_there(m->of)) return;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H);
    vec *u = m->u, *cell = m->c + k * Hp;
    vec *kept = m->of->kept ? memory_kept(m, s, c, t) : NULL;
    gather_row(&m->of->x, c, t, I, m->now);
    product(s, 1, m->input, 4 * Hp, I, m->bias, 0, m->now, 0, u, 0);
    product(s, 1, m->recurrent, 4 * Hp, H, u, 0, h, 0, u, 0);
    for (int64_t j = 0; j < H; j++) {
        vec i = sigmoid(u[j]), f = sigmoid(u[Hp + j]), g = vtanh(u[2 * Hp + j]);
        vec o = sigmoid(u[3 * Hp + j]);
        cell[j] = f * cell[j] + i * g;
        h[j] = o * vtanh(cell[j]);
        if (!kept) continue;
        kept[j] = i;
        kept[H + j] = f;
        kept[2 * H + j] = g;
        kept[3 * H + j] = o;
        kept[4 * H + j] = cell[j];
    }
    scatter_row(&m->of->c, c, t, H, cell);
}

/* The state that the cell's step t started from. */
static void memory_state(const memory *m, const tl_sizes *s, column c, int64_t t, vec *h) {
    int64_t H = s->hidden;
    const vec *kept = memory_kept(m, s, c, t);
    for (int64_t j = 0; j < H; j++) h[j] = kept[3 * H + j] * vtanh(kept[4 * H + j]);
}

static void memory_flush(memory *m, const tl_sizes *s) {
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), one = weight_size(s), n = m->count;
    if (!memory_is_there(m->of) || !n) return;
    for (int64_t k = 0; k < 4; k++) {
        add_outer(s, H, I, n, m->du + k * Hp, 4 * Hp, m->x, padded(I), m->weight_ih + k * H * I * one);
        add_outer(s, H, H, n, m->du + k * Hp, 4 * Hp, m->h, Hp, m->weight_hh + k * H * H * one);
    }
    add_rows(4 * Hp, n, m->du, 4 * Hp, m->bias_sum);
    m->count = 0;
}

/* g of the state that came out of the memory becomes that of the state before step t, `before`. */
static void memory_retreat(memory *m, const tl_sizes *s, column c, int k, int64_t t,
                           const vec *before, vec *g) {
    if (!memory_is_there(m->of)) return;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), n = m->count;
    const vec *kept = memory_kept(m, s, c, t);
    vec *gc = m->gc + k * Hp, *du = m->du + n * 4 * Hp;
    if (t)
        memcpy(m->c_before, memory_kept(m, s, c, t - 1) + 4 * H, (size_t)H * sizeof(vec));
    else
        gather_row(&m->of->c0, c, 0, H, m->c_before);
    if (m->of->grad_c.data) {
        gather_gradient(&m->of->grad_c, c, t, H, m->u);
        for (int64_t j = 0; j < H; j++) gc[j] += m->u[j];
    }
    for (int64_t j = 0; j < H; j++) {
        vec i = kept[j], f = kept[H + j], a = kept[2 * H + j], o = kept[3 * H + j];
        vec out = vtanh(kept[4 * H + j]), dc = gc[j] + g[j] * (o * (1 - out * out));
        du[j] = dc * (a * i * (1 - i));
        du[Hp + j] = dc * (m->c_before[j] * f * (1 - f));
        du[2 * Hp + j] = dc * (i * (1 - a * a));
        du[3 * Hp + j] = g[j] * (out * o * (1 - o));
        gc[j] = dc * f;
    }
    gather_row(&m->of->x, c, t, I, m->x + n * padded(I));
    memcpy(m->h + n * Hp, before, (size_t)H * sizeof(vec));
    product(s, 1, m->recurrent, H, 4 * Hp, m->zero, 0, du, 0, m->dx, 0);
    memcpy(g, m->dx, (size_t)H * sizeof(vec));
    if (m->of->grad_x.data) {
        product(s, 1, m->input, I, 4 * Hp, m->zero, 0, du, 0, m->dx, 0);
        scatter_row(&m->of->grad_x, c, t, I, m->dx);
    }
    if (++m->count == MEMORY_CHUNK) memory_flush(m, s);
}

static void memory_end(const memory *m, const tl_sizes *s, column c, int k) {
    if (memory_is_there(m->of) && m->of->grad_c0.data)
        scatter_row(&m->of->grad_c0, c, 0, s->hidden, m->gc + k * padded(s->hidden));
}

static void memory_give(const memory *m, const tl_sizes *s, int64_t job, column c) {
    const tl_memory *p = m->of;
    if (!memory_is_there(p)) return;
    int64_t I = s->inputs, H = s->hidden;
    give_matrix(s, job, &p->grad_weight_ih, c, 0, 4 * H, I, m->weight_ih);
    give_matrix(s, job, &p->grad_weight_hh, c, 0, 4 * H, H, m->weight_hh);
    for (int64_t k = 0; k < 4; k++) {
        tl_view bias = memory_part(&p->grad_bias, k, H, 0);
        give_vector(s, job, &bias, c, H, m->bias_sum + k * padded(H));
    }
}

#endif
