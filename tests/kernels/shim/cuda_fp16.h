// binary16 in software (IEEE 754-2008): 1 sign, 5 exponent, 10 fraction bits.
#pragma once
#include "device.h"

struct __half {
    unsigned short bits;
};

inline float __half2float(__half half) {
    const unsigned sign = (half.bits & 0x8000u) << 16, exponent = half.bits >> 10 & 31, fraction = half.bits & 1023;
    if (exponent == 31) return shim::float_of(sign | 0x7f800000u | fraction << 13);
    if (exponent == 0) return sign ? -ldexpf(fraction, -24) : ldexpf(fraction, -24);
    return shim::float_of(sign | (exponent + 112) << 23 | fraction << 13);
}

// Round to nearest, ties to even.
inline __half __float2half_rn(float x) {
    const unsigned bits = shim::bits_of(x);
    const unsigned short sign = bits >> 16 & 0x8000;
    const float size = fabsf(x);
    if (x != x) return {(unsigned short)(sign | 0x7e00)};
    if (size >= 65520.0f) return {(unsigned short)(sign | 0x7c00)};  // halfway to 2^16, the first that does not fit
    if (size < 0x1p-14f) return {(unsigned short)(sign | (unsigned)nearbyintf(ldexpf(size, 24)))};
    const unsigned kept = (bits & 0x7fffffff) - (112u << 23);
    return {(unsigned short)(sign | (kept + 0xfff + (kept >> 13 & 1)) >> 13)};
}
