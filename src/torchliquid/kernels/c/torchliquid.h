/* The interface of the native kernels: plain C, raw pointers, no Python and no torch.
 *
 * Every kernel runs one cell over whole sequences, forward or backward, for many *lanes* at once.
 * A lane is one element of a SIMD register. What a lane is, the caller says:
 *
 *   a pack:       lanes are models (seeds), each with weights of its own; `shared` is 0;
 *   a batch:      lanes are the sequences of one model's batch, the weights are the same for all;
 *                 `shared` is 1, `batch` is 1, and gradients of weights are summed over lanes.
 *
 * All tensors are handed over as views with strides: nothing is copied or laid out anew before a
 * call. No view of an output may overlap an input or another output. Inputs are only read.
 */
#ifndef TORCHLIQUID_H
#define TORCHLIQUID_H

#include <stdint.h>

/* Changes whenever a struct below or the meaning of a field does. */
#define TL_ABI 4

#if defined(_WIN32)
#define TL_EXPORT __declspec(dllexport)
#else
#define TL_EXPORT __attribute__((visibility("default")))
#endif

enum { TL_OK = 0, TL_NO_MEMORY = 1, TL_BAD_ARGUMENT = 2 };

/* A tensor: element (lane, batch, row, item) is at data[lane * s0 + batch * s1 + row * s2 + item *
 * s3], strides in elements of the kernel's real type, 0 where the tensor does not vary. data NULL:
 * an optional input that is absent, or an output that is not wanted. */
typedef struct {
    void *data;
    int64_t lane;
    int64_t batch;
    int64_t row; /* time step of a sequence; row of a matrix */
    int64_t item; /* feature of a sequence; column of a matrix; element of a vector */
} tl_view;

/* What all cells share. */
typedef struct {
    int64_t real; /* bytes of a real number: 4 or 8 */
    int64_t threads; /* threads to use at most, at least 1 */
    int64_t shared; /* 1: one model, lanes are its batch; 0: a pack, lanes are models */
    int64_t lanes; /* N >= 1 */
    int64_t batch; /* B >= 1 sequences of each lane; 1 if shared */
    int64_t steps; /* L >= 1 */
    int64_t inputs; /* I >= 1 */
    int64_t hidden; /* H >= 1 */
    int64_t rows; /* 1: the registers' lanes are a sequence's hidden neurons (ltc and gated only) */
} tl_sizes;

enum { TL_SEMI_IMPLICIT = 0, TL_EULER = 1, TL_EXPONENTIAL = 2 };

/* The liquid time-constant cell with one gate per neuron. Sequences use `row` as the time step,
 * matrices as the row; vectors use `item` alone. */
typedef struct {
    tl_sizes sizes;
    int64_t solver;
    int64_t unfolds; /* K >= 1 */
    int64_t raw; /* 1: `tau` holds raw values, tau is their softplus; so does grad_tau */
    double interval; /* dt of every step where `dt` is absent */
    /* inputs of both passes */
    tl_view x; /* (L, I) */
    tl_view dt; /* (L,), optional */
    tl_view h0; /* (H,) */
    tl_view weight_ih; /* (H, I) */
    tl_view weight_hh; /* (H, H) */
    tl_view bias; /* (H,), optional */
    tl_view tau; /* (H,), positive if not raw */
    tl_view target; /* (H,) */
    tl_view readout; /* (O, H), optional: then out = readout h + readout_bias at every step */
    tl_view readout_bias; /* (O,), optional */
    /* written by the forward pass; the backward pass reads y, or kept_states where y is absent */
    tl_view y; /* states after every step (L, H), optional */
    tl_view last; /* state after the last step (H,), optional */
    tl_view out; /* (L, O), where there is a readout */
    void *kept_states; /* reals of `kept_size` in _library.py each, or NULL */
    void *kept_gates; /* of one sub-step a step; NULL: the backward pass computes gates again */
    int64_t outputs; /* O */
    /* backward pass: gradients of the outputs, optional, and of the inputs, where wanted */
    tl_view grad_y;
    tl_view grad_last;
    tl_view grad_out;
    tl_view grad_x;
    tl_view grad_dt;
    tl_view grad_h0;
    tl_view grad_weight_ih;
    tl_view grad_weight_hh;
    tl_view grad_bias;
    tl_view grad_tau;
    tl_view grad_target;
    tl_view grad_readout;
    tl_view grad_readout_bias;
} tl_ltc;

/* A linear map at every step, y = W x + b, with O = sizes.hidden. */
typedef struct {
    tl_sizes sizes;
    tl_view x; /* (L, I) */
    tl_view weight; /* (O, I) */
    tl_view bias; /* (O,), optional */
    tl_view y; /* (L, O), forward only */
    tl_view grad_y; /* (L, O) */
    tl_view grad_x;
    tl_view grad_weight;
    tl_view grad_bias;
} tl_linear;

enum { TL_LSTM = 0, TL_GRU = 1 };

/* LSTM and GRU, G = 4 or 3 gates in torch's order, stacked in the rows of the weights. */
typedef struct {
    tl_sizes sizes;
    int64_t kind; /* TL_LSTM or TL_GRU */
    tl_view x; /* (L, I) */
    tl_view h0; /* (H,) */
    tl_view c0; /* (H,), LSTM only */
    tl_view weight_ih; /* (G H, I) */
    tl_view weight_hh; /* (G H, H) */
    tl_view bias_ih; /* (G H,), optional */
    tl_view bias_hh; /* (G H,), optional */
    tl_view y; /* states h after every step (L, H); with rows optional, and not read backward */
    tl_view last; /* h after the last step (H,) */
    tl_view last_c; /* c after the last step (H,), LSTM only */
    void *kept; /* 6 `kept_size` reals for the backward pass; NULL in a forward pass without one */
    tl_view readout; /* (O, H), optional: then out = readout h + readout_bias; rows only */
    tl_view readout_bias; /* (O,) */
    tl_view out; /* (L, O), where there is a readout */
    int64_t outputs; /* O, 0 without a readout */
    tl_view grad_out; /* optional, like the next three */
    tl_view grad_y;
    tl_view grad_last;
    tl_view grad_last_c;
    tl_view grad_x;
    tl_view grad_h0;
    tl_view grad_c0;
    tl_view grad_weight_ih;
    tl_view grad_weight_hh;
    tl_view grad_bias_ih;
    tl_view grad_bias_hh;
    tl_view grad_readout;
    tl_view grad_readout_bias;
} tl_gated;

/* The LTC with a gate for every synapse. Lists of synapses are rows of [source, destination], in any
 * order, the same for all lanes; parameters of synapses are vectors in the lists' order: sigma, mu,
 * w, erev. */
typedef struct {
    tl_sizes sizes;
    int64_t unfolds; /* K >= 1 */
    int64_t synapses; /* length of edges, may be 0 */
    int64_t sensory; /* length of sensory_edges, may be 0 */
    double interval; /* dt of every step where `dt` is absent */
    const int64_t *edges; /* from neurons to neurons */
    const int64_t *sensory_edges; /* from inputs to neurons */
    tl_view x; /* (L, I) */
    tl_view dt; /* (L,), optional */
    tl_view h0; /* (H,) */
    tl_view recurrent[4]; /* (synapses,) each */
    tl_view sensors[4]; /* (sensory,) each */
    tl_view gleak; /* (H,), not negative */
    tl_view vleak; /* (H,) */
    tl_view cm; /* (H,), positive */
    tl_view y; /* states after every step (L, H): written forward, read backward */
    tl_view grad_y; /* (L, H) */
    tl_view grad_last; /* (H,), of the last state, on top of grad_y */
    tl_view grad_x;
    tl_view grad_dt;
    tl_view grad_h0;
    tl_view grad_recurrent[4];
    tl_view grad_sensors[4];
    tl_view grad_gleak;
    tl_view grad_vleak;
    tl_view grad_cm;
} tl_synaptic;

/* ---- what the library exports --------------------------------------------------------------- */

/* TL_ABI of the library. */
TL_EXPORT int64_t tl_abi(void);

/* Name of the instruction set in use: the best that this processor runs and whose kernels agree
 * with libm on a small case, chosen at the first call; "" if none does. */
TL_EXPORT const char *tl_isa(void);

/* Names of all that were compiled, separated by spaces, the best first. */
TL_EXPORT const char *tl_isas(void);

/* Choose an instruction set by name: TL_BAD_ARGUMENT if it is unknown, does not run here or fails
 * the self-test. */
TL_EXPORT int tl_use_isa(const char *name);

/* Lanes of a register, for reals of 4 or 8 bytes. */
TL_EXPORT int64_t tl_width(int64_t real);

/* Kernels, tl_<name>_forward and tl_<name>_backward: TL_OK; TL_NO_MEMORY or TL_BAD_ARGUMENT with
 * nothing written. */
#define TL_DECLARE(name)                                      \
    TL_EXPORT int tl_##name##_forward(const tl_##name *kernel); \
    TL_EXPORT int tl_##name##_backward(const tl_##name *kernel);
TL_DECLARE(ltc)
TL_DECLARE(linear)
TL_DECLARE(gated)
TL_DECLARE(synaptic)

#endif
