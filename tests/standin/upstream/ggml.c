#include "ggml.h"

#include <math.h>

float half_value(uint16_t bits) {
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    const float sign = bits & 0x8000 ? -1.0f : 1.0f;
    if (exponent == 31) return fraction ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf((float) (1024 + fraction), exponent - 25) : ldexpf((float) fraction, -24));
}
