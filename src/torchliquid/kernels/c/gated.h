/* LSTM, GRU and a GRU that decays between samples over whole sequences (one layer, one direction).
 *
 * Equations in functional/lstm.py and functional/gru.py. With u = U x + b_ih and v = V h + b_hh for
 * G gates of H neurons each, in torch's order (LSTM i, f, g, o; GRU r, z, n):
 *
 *   LSTM  i, f, o = sigmoid(u + v), g = tanh(u + v);  c' = f c + i g;  h' = o tanh(c')
 *   GRU   r, z = sigmoid(u + v), n = tanh(u + r v);   h' = (1 - z) n + z h
 *
 * of which a DecayGRU has e^(-dt rate) h in the place of h. The forward pass keeps, of each step, the
 * activated gates and a vector or two more (LSTM c'; GRU v of n, and the decayed h): with them the
 * backward pass needs no product but the transposed one.
 */
#ifndef TL_GATED_H
#define TL_GATED_H

#include "jobs.h"
#include "raw.h"

enum { MOST_GATES = 4, GATED_KEPT = 6 };

INLINE int64_t gated_gates(const tl_gated *p) { return p->kind == TL_LSTM ? 4 : 3; }

typedef struct {
    real *input, *recurrent; /* all gates, each padded, one below the other */
    real *input_t[MOST_GATES], *recurrent_t[MOST_GATES];
    vec *bias_ih, *bias_hh, *zero, *rate;
} gated_weights;

static void gated_take_weights(arena *a, const tl_gated *p, int backward, gated_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), G = gated_gates(p), one = weight_size(s);
    w->input = arena_alloc(a, backward ? 0 : G * Hp * I * one);
    w->recurrent = arena_alloc(a, backward ? 0 : G * Hp * H * one);
    for (int64_t k = 0; k < G; k++) {
        w->input_t[k] = arena_alloc(a, backward ? padded(I) * H * one : 0);
        w->recurrent_t[k] = arena_alloc(a, backward ? Hp * H * one : 0);
    }
    w->bias_ih = arena_vectors(a, G * Hp);
    w->bias_hh = arena_vectors(a, G * Hp);
    w->zero = arena_vectors(a, padded(I));
    w->rate = arena_vectors(a, Hp);
}

/* One gate's part of a vector of all gates. */
INLINE tl_view gated_part(tl_view v, int64_t gate, int64_t H) {
    if (v.data) v.data = (real *)v.data + gate * H * v.item;
    return v;
}

static void gated_pack_weights(const tl_gated *p, column c, int backward, gated_weights *w) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), G = gated_gates(p), one = weight_size(s);
    for (int64_t k = 0; k < G; k++) {
        tl_view ih = gated_part(p->bias_ih, k, H), hh = gated_part(p->bias_hh, k, H);
        tl_view weight_ih = p->weight_ih, weight_hh = p->weight_hh;
        weight_ih.data = (real *)weight_ih.data + k * H * weight_ih.row;
        weight_hh.data = (real *)weight_hh.data + k * H * weight_hh.row;
        pack_vector(&ih, c, H, w->bias_ih + k * Hp);
        pack_vector(&hh, c, H, w->bias_hh + k * Hp);
        if (backward) {
            pack_matrix(s, &weight_ih, c, 0, I, H, 1, w->input_t[k]);
            pack_matrix(s, &weight_hh, c, 0, H, H, 1, w->recurrent_t[k]);
        } else {
            pack_matrix(s, &weight_ih, c, 0, H, I, 0, w->input + k * Hp * I * one);
            pack_matrix(s, &weight_hh, c, 0, H, H, 0, w->recurrent + k * Hp * H * one);
        }
    }
    memset(w->zero, 0, (size_t)padded(I) * sizeof(vec));
    pack_vector(&p->rate, c, H, w->rate);
    if (p->raw && p->rate.data) positive(w->rate, H, s->shared);
}

INLINE vec *gated_kept(const tl_gated *p, column c, int64_t t) {
    const tl_sizes *s = &p->sizes;
    return (vec *)p->kept + (c.index * s->steps + t) * GATED_KEPT * s->hidden;
}

/* Time before step t; below 0 where there is no sample. */
INLINE vec gated_interval(const tl_gated *p, column c, int64_t t) {
    if (!p->dt.data) return splat((real)p->interval);
    return gather(element(&p->dt, c, t), p->dt.lane, c.valid);
}

/* ---- forward -------------------------------------------------------------------------------- */

/* Of H neurons: h and, for an LSTM, c become those after the step. */
static void lstm_advance(int64_t H, int64_t Hp, const vec *u, const vec *v, vec *kept, vec *h,
                         vec *c) {
    for (int64_t j = 0; j < H; j++) {
        vec i = sigmoid(u[j] + v[j]), f = sigmoid(u[Hp + j] + v[Hp + j]);
        vec g = vtanh(u[2 * Hp + j] + v[2 * Hp + j]), o = sigmoid(u[3 * Hp + j] + v[3 * Hp + j]);
        c[j] = f * c[j] + i * g;
        h[j] = o * vtanh(c[j]);
        kept[j] = i;
        kept[H + j] = f;
        kept[2 * H + j] = g;
        kept[3 * H + j] = o;
        kept[4 * H + j] = c[j];
    }
}

/* The state decays before a sample, and is kept as it then is. */
static void gated_decay(int64_t H, vec dt, const vec *rate, vec *decayed, vec *h) {
    vec time = vec_max(splat(0), dt);
    for (int64_t j = 0; j < H; j++) decayed[j] = h[j] *= vexp(-time * rate[j]);
}

static void gru_advance(int64_t H, int64_t Hp, const vec *u, const vec *v, vec *kept, vec *h) {
    for (int64_t j = 0; j < H; j++) {
        vec r = sigmoid(u[j] + v[j]), z = sigmoid(u[Hp + j] + v[Hp + j]);
        vec n = vtanh(u[2 * Hp + j] + r * v[2 * Hp + j]);
        h[j] = n + z * (h[j] - n);
        kept[j] = r;
        kept[H + j] = z;
        kept[2 * H + j] = n;
        kept[3 * H + j] = v[2 * Hp + j];
    }
}

typedef struct {
    gated_weights weights;
    vec *x, *u, *v, *h, *c, *kept;
} gated_forward_scratch;

static size_t gated_forward_take(const tl_gated *p, char *base, gated_forward_scratch *f) {
    arena a = {base, 0};
    int64_t I = padded(p->sizes.inputs), H = padded(p->sizes.hidden), G = gated_gates(p);
    gated_take_weights(&a, p, 0, &f->weights);
    f->x = arena_vectors(&a, TILE * I);
    f->u = arena_vectors(&a, TILE * G * H);
    f->v = arena_vectors(&a, TILE * G * H);
    f->h = arena_vectors(&a, TILE * H);
    f->c = arena_vectors(&a, TILE * H);
    f->kept = arena_vectors(&a, TILE * GATED_KEPT * H);
    return a.used;
}

static void gated_forward_job(const void *kernel, int64_t job, char *base) {
    const tl_gated *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), G = gated_gates(p);
    int64_t first, last;
    gated_forward_scratch f;
    gated_forward_take(p, base, &f);
    job_columns(s, job, &first, &last);
    gated_pack_weights(p, column_at(s, first), 0, &f.weights);
    for (int64_t index = first; index < last; index += TILE) {
        int tile = last - index < TILE ? (int)(last - index) : TILE;
        column columns[TILE];
        for (int c = 0; c < tile; c++) {
            columns[c] = column_at(s, index + c);
            gather_row(&p->h0, columns[c], 0, H, f.h + c * Hp);
            if (p->kind == TL_LSTM) gather_row(&p->c0, columns[c], 0, H, f.c + c * Hp);
        }
        for (int64_t t = 0; t < s->steps; t++) {
            vec *kept[TILE] = {NULL};
            for (int c = 0; c < tile; c++) {
                gather_row(&p->x, columns[c], t, I, f.x + c * Ip);
                kept[c] = p->kept ? gated_kept(p, columns[c], t) : f.kept + c * GATED_KEPT * H;
                if (p->kind == TL_DECAY_GRU)
                    gated_decay(H, gated_interval(p, columns[c], t), f.weights.rate,
                                kept[c] + 4 * H, f.h + c * Hp);
            }
            product(s, tile, f.weights.input, G * Hp, I, f.weights.bias_ih, 0, f.x, Ip, f.u,
                    G * Hp);
            product(s, tile, f.weights.recurrent, G * Hp, H, f.weights.bias_hh, 0, f.h, Hp, f.v,
                    G * Hp);
            for (int c = 0; c < tile; c++) {
                const vec *u = f.u + c * G * Hp, *v = f.v + c * G * Hp;
                vec *h = f.h + c * Hp;
                if (p->kind == TL_LSTM)
                    lstm_advance(H, Hp, u, v, kept[c], h, f.c + c * Hp);
                else
                    gru_advance(H, Hp, u, v, kept[c], h);
                if (p->kind == TL_DECAY_GRU && p->dt.data) {
                    mask none = gated_interval(p, columns[c], t) < 0;
                    for (int64_t j = 0; j < H; j++) h[j] = choose(none, kept[c][4 * H + j], h[j]);
                }
                if (p->y.data) scatter_row(&p->y, columns[c], t, H, h);
            }
        }
        for (int c = 0; c < tile; c++) {
            scatter_row(&p->last, columns[c], 0, H, f.h + c * Hp);
            if (p->kind == TL_LSTM) scatter_row(&p->last_c, columns[c], 0, H, f.c + c * Hp);
        }
    }
}

/* ---- backward ------------------------------------------------------------------------------- */

/* g and gc of the state after a step become the parts of those before it that do not go through
 * the gates' recurrent inputs; du (and, for a GRU, dv) are g of u (and v), the same for an LSTM. */
static void lstm_retreat(int64_t H, int64_t Hp, const vec *kept, const vec *c_before, vec *g,
                         vec *gc, vec *du) {
    for (int64_t j = 0; j < H; j++) {
        vec i = kept[j], f = kept[H + j], n = kept[2 * H + j], o = kept[3 * H + j];
        vec t = vtanh(kept[4 * H + j]), dc = gc[j] + g[j] * (o * (1 - t * t));
        du[j] = dc * (n * i * (1 - i));
        du[Hp + j] = dc * (c_before[j] * f * (1 - f));
        du[2 * Hp + j] = dc * (i * (1 - n * n));
        du[3 * Hp + j] = g[j] * (t * o * (1 - o));
        gc[j] = dc * f;
        g[j] = splat(0);
    }
}

static void gru_retreat(int64_t H, int64_t Hp, const vec *kept, const vec *before, vec *g, vec *du,
                        vec *dv) {
    for (int64_t j = 0; j < H; j++) {
        vec r = kept[j], z = kept[H + j], n = kept[2 * H + j], v = kept[3 * H + j];
        vec dn = g[j] * ((1 - z) * (1 - n * n));
        dv[j] = du[j] = dn * (v * r * (1 - r));
        dv[Hp + j] = du[Hp + j] = g[j] * ((before[j] - n) * z * (1 - z));
        du[2 * Hp + j] = dn;
        dv[2 * Hp + j] = dn * r;
        g[j] *= z;
    }
}

typedef struct {
    gated_weights weights;
    real *weight_ih, *weight_hh;   /* gradients so far, row by row */
    vec *bias_ih, *bias_hh, *rate; /* (G, H padded), (H,) */
    vec *x, *h, *du, *dv;        /* a chunk of steps: (t, c, I), (t, c, H), (t, c, G, H) */
    vec *g, *gc, *gy, *c_before, *scratch;
    int64_t chunk;
    size_t zero_from, chunk_from, zero_to;
} gated_backward_scratch;

static size_t gated_backward_take(const tl_gated *p, char *base, gated_backward_scratch *b) {
    const tl_sizes *s = &p->sizes;
    arena a = {base, 0};
    int64_t I = padded(s->inputs), H = padded(s->hidden), G = gated_gates(p), one = weight_size(s);
    int both = p->kind != TL_LSTM;
    b->chunk = chunk_steps(s, I + H + G * H * (1 + both));
    gated_take_weights(&a, p, 1, &b->weights);
    b->zero_from = a.used;
    b->bias_ih = arena_vectors(&a, G * H);
    b->bias_hh = arena_vectors(&a, G * H);
    b->rate = arena_vectors(&a, H);
    b->weight_ih = arena_alloc(&a, G * s->hidden * s->inputs * one);
    b->weight_hh = arena_alloc(&a, G * s->hidden * s->hidden * one);
    b->chunk_from = a.used; /* its padding must be zero, and stays so */
    b->x = arena_vectors(&a, b->chunk * TILE * I);
    b->h = arena_vectors(&a, b->chunk * TILE * H);
    b->du = arena_vectors(&a, b->chunk * TILE * G * H);
    b->dv = both ? arena_vectors(&a, b->chunk * TILE * G * H) : b->du;
    b->zero_to = a.used;
    b->g = arena_vectors(&a, TILE * H);
    b->gc = arena_vectors(&a, TILE * H);
    b->gy = arena_vectors(&a, H);
    b->c_before = arena_vectors(&a, H);
    b->scratch = arena_vectors(&a, TILE * I);
    return a.used;
}

/* Where there is no sample, nothing flows into the gates, and the state is as it was. */
static void gated_retreat_none(int64_t H, int64_t Hp, mask none, const vec *g_before, vec *g,
                               vec *du, vec *dv) {
    for (int64_t j = 0; j < H; j++) {
        g[j] = choose(none, g_before[j], g[j]);
        for (int64_t k = 0; k < 3; k++) {
            du[k * Hp + j] = choose(none, splat(0), du[k * Hp + j]);
            dv[k * Hp + j] = choose(none, splat(0), dv[k * Hp + j]);
        }
    }
}

/* Back through the decay: g of the decayed state becomes that of the state. Returns g of dt. */
static vec gated_retreat_decay(int64_t H, vec dt, const vec *rate, const vec *decayed, vec *g,
                               vec *rate_sum) {
    vec time = vec_max(splat(0), dt), dh = splat(0);
    for (int64_t j = 0; j < H; j++) {
        vec d = g[j] * decayed[j];
        rate_sum[j] -= time * d;
        dh -= rate[j] * d;
        g[j] *= vexp(-time * rate[j]);
    }
    return choose(dt < 0, splat(0), dh);
}

static void gated_backward_steps(const tl_gated *p, const gated_backward_scratch *b,
                                 const column *columns, int tile, int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), G = gated_gates(p);
    for (int64_t t = to - 1; t >= from; t--) {
        int64_t n = (t - from) * tile;
        for (int c = 0; c < tile; c++) {
            column at = columns[c];
            vec *h = b->h + (n + c) * Hp, *g = b->g + c * Hp, *du = b->du + (n + c) * G * Hp;
            gather_row(&p->x, at, t, I, b->x + (n + c) * Ip);
            const vec *kept = gated_kept(p, at, t);
            if (p->kind == TL_DECAY_GRU)
                memcpy(h, kept + 4 * H, (size_t)H * sizeof(vec));
            else
                gather_row(t ? &p->y : &p->h0, at, t ? t - 1 : 0, H, h);
            if (p->grad_y.data) {
                gather_gradient(&p->grad_y, at, t, H, b->gy);
                for (int64_t j = 0; j < H; j++) g[j] += b->gy[j];
            }
            if (p->kind == TL_LSTM) {
                if (t)
                    memcpy(b->c_before, gated_kept(p, at, t - 1) + 4 * H, (size_t)H * sizeof(vec));
                else
                    gather_row(&p->c0, at, 0, H, b->c_before);
                lstm_retreat(H, Hp, kept, b->c_before, g, b->gc + c * Hp, du);
            } else {
                vec *dv = b->dv + (n + c) * G * Hp;
                memcpy(b->gy, g, (size_t)H * sizeof(vec));
                gru_retreat(H, Hp, kept, h, g, du, dv);
                if (p->kind == TL_DECAY_GRU && p->dt.data)
                    gated_retreat_none(H, Hp, gated_interval(p, at, t) < 0, b->gy, g, du, dv);
            }
        }
        for (int64_t k = 0; k < G; k++)
            product(s, tile, b->weights.recurrent_t[k], H, H, b->g, Hp,
                    b->dv + n * G * Hp + k * Hp, G * Hp, b->g, Hp);
        if (p->kind == TL_DECAY_GRU)
            for (int c = 0; c < tile; c++) {
                vec dh = gated_retreat_decay(H, gated_interval(p, columns[c], t), b->weights.rate,
                                             b->h + (n + c) * Hp, b->g + c * Hp, b->rate);
                if (p->grad_dt.data) scatter_row(&p->grad_dt, columns[c], t, 1, &dh);
            }
    }
}

static void gated_add_gradients(const tl_gated *p, const gated_backward_scratch *b, int64_t n) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), G = gated_gates(p);
    int64_t one = weight_size(s);
    for (int64_t k = 0; k < G; k++) {
        add_outer(s, H, H, n, b->dv + k * Hp, G * Hp, b->h, Hp, b->weight_hh + k * H * H * one);
        add_outer(s, H, I, n, b->du + k * Hp, G * Hp, b->x, Ip, b->weight_ih + k * H * I * one);
    }
    add_rows(G * Hp, n, b->du, G * Hp, b->bias_ih);
    add_rows(G * Hp, n, b->dv, G * Hp, b->bias_hh);
}

static void gated_give_inputs(const tl_gated *p, const gated_backward_scratch *b,
                              const column *columns, int tile, int64_t from, int64_t to) {
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Ip = padded(I), Hp = padded(H), G = gated_gates(p);
    for (int64_t t = from; t < to; t++) {
        memset(b->scratch, 0, (size_t)(tile * Ip) * sizeof(vec));
        for (int64_t k = 0; k < G; k++)
            product(s, tile, b->weights.input_t[k], I, H, b->scratch, Ip,
                    b->du + (t - from) * tile * G * Hp + k * Hp, G * Hp, b->scratch, Ip);
        for (int c = 0; c < tile; c++)
            scatter_row(&p->grad_x, columns[c], t, I, b->scratch + c * Ip);
    }
}

static void gated_backward_job(const void *kernel, int64_t job, char *base) {
    const tl_gated *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t H = s->hidden, Hp = padded(H), first, last;
    gated_backward_scratch b;
    gated_backward_take(p, base, &b);
    memset(base + b.zero_from, 0, b.zero_to - b.zero_from);
    job_columns(s, job, &first, &last);
    gated_pack_weights(p, column_at(s, first), 1, &b.weights);
    for (int64_t index = first; index < last; index += TILE) {
        int tile = last - index < TILE ? (int)(last - index) : TILE;
        column columns[TILE];
        for (int c = 0; c < tile; c++) {
            columns[c] = column_at(s, index + c);
            gather_gradient(&p->grad_last, columns[c], 0, H, b.g + c * Hp);
            gather_gradient(&p->grad_last_c, columns[c], 0, H, b.gc + c * Hp);
        }
        if (index > first && tile < TILE) /* the chunk's padding lies elsewhere now */
            memset(base + b.chunk_from, 0, b.zero_to - b.chunk_from);
        for (int64_t to = s->steps, from; to > 0; to = from) {
            from = to > b.chunk ? to - b.chunk : 0;
            gated_backward_steps(p, &b, columns, tile, from, to);
            gated_add_gradients(p, &b, (to - from) * tile);
            if (p->grad_x.data) gated_give_inputs(p, &b, columns, tile, from, to);
        }
        for (int c = 0; c < tile; c++) {
            if (p->grad_h0.data) scatter_row(&p->grad_h0, columns[c], 0, H, b.g + c * Hp);
            if (p->grad_c0.data) scatter_row(&p->grad_c0, columns[c], 0, H, b.gc + c * Hp);
        }
    }
}

static void gated_backward_finish(const void *kernel, int64_t job, char *base) {
    const tl_gated *p = kernel;
    const tl_sizes *s = &p->sizes;
    int64_t I = s->inputs, H = s->hidden, Hp = padded(H), G = gated_gates(p), first, last;
    gated_backward_scratch b;
    gated_backward_take(p, base, &b);
    job_columns(s, job, &first, &last);
    column c = column_at(s, first);
    give_matrix(s, job, &p->grad_weight_ih, c, 0, G * H, I, b.weight_ih);
    give_matrix(s, job, &p->grad_weight_hh, c, 0, G * H, H, b.weight_hh);
    for (int64_t k = 0; k < G; k++) {
        tl_view ih = gated_part(p->grad_bias_ih, k, H), hh = gated_part(p->grad_bias_hh, k, H);
        give_vector(s, job, &ih, c, H, b.bias_ih + k * Hp);
        give_vector(s, job, &hh, c, H, b.bias_hh + k * Hp);
    }
    if (p->raw)
        for (int64_t j = 0; j < H; j++) b.rate[j] = raw_gradient(b.rate[j], b.weights.rate[j]);
    give_vector(s, job, &p->grad_rate, c, H, b.rate);
}

#endif
