/* All kernels for one instruction set and one real type: compiled once for each pair.
 *
 * The build sets TL_VARIANT (a name), TL_REAL (32 or 64), TL_BYTES (of a register) and TL_REGISTERS
 * (how many there are), and the compiler's flags for the instruction set.
 */
#include "cfc.h"
#include "filter.h"
#include "fit.h"
#include "gated_rows.h"
#include "linear.h"
#include "ltc_rows.h"
#include "resonator.h"
#include "synapse.h"
#include "table.h"

#define PASTE(variant, bits) tl_table_##variant##_##bits
#define NAME(variant, bits) PASTE(variant, bits)

#define FUNCTIONS(name) name##_forward, name##_backward,
#define FUNCTION(name) name##_forward,

const tl_table NAME(TL_VARIANT, TL_REAL) = {WIDTH, TL_KERNELS(FUNCTIONS) TL_ONE_WAY(FUNCTION)};
