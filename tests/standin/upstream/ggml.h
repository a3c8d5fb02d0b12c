#pragma once
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif
// The value of a 16-bit float.
float half_value(uint16_t bits);
#ifdef __cplusplus
}
#endif
