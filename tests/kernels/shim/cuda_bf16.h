// bfloat16 in software: the upper half of a float.
#pragma once
#include "device.h"

struct __nv_bfloat16 {
    unsigned short bits;
};

inline float __bfloat162float(__nv_bfloat16 x) { return shim::float_of((unsigned)x.bits << 16); }

// Round to nearest, ties to even.
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    if (x != x) return {0x7fff};
    const unsigned bits = shim::bits_of(x);
    return {(unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
