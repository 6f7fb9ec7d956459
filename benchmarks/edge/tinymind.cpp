// tinymind's LTC cell of 8 behind the functions of an exported model, with the same readout.
#include "net.h"

#include "ltc.hpp"

// its own way from a double to a float is ambiguous to the compiler
namespace tinymind {
namespace pinn {
template <> struct Constant<float> {
    static float of(double value) { return static_cast<float>(value); }
};
} // namespace pinn
} // namespace tinymind

#include <cstring>

#include "weights.h" // PARAMETERS, READOUT and OFFSET of the exported model

extern "C" void net_reset(net_state* state)
{
    std::memset(state, 0, sizeof *state);
}

extern "C" void net_step(net_state* state, const float input[1], float output[1])
{
    tinymind::ltc::LtcCell<1, 8>::step<float>(PARAMETERS, input, state->x0, state->x0, DT, UNFOLDS);
    float y = OFFSET;
    for (int j = 0; j < 8; j++) {
        y += READOUT[j] * state->x0[j];
    }
    output[0] = y;
}
