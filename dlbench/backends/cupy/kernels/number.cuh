// The number format of the tensors, T, chosen when compiling: -DDTYPE_float32, -DDTYPE_float16 or -DDTYPE_bfloat16.
// Arithmetic is in float whatever T is: `wide` reads a number, `narrow` rounds one to nearest even.
#pragma once

#if defined(DTYPE_float32)
typedef float T;
__device__ inline float wide(T x) { return x; }
__device__ inline T narrow(float x) { return x; }
#elif defined(DTYPE_float16)
#include <cuda_fp16.h>
typedef __half T;
__device__ inline float wide(T x) { return __half2float(x); }
__device__ inline T narrow(float x) { return __float2half_rn(x); }
#elif defined(DTYPE_bfloat16)
#include <cuda_bf16.h>
typedef __nv_bfloat16 T;
__device__ inline float wide(T x) { return __bfloat162float(x); }
__device__ inline T narrow(float x) { return __float2bfloat16_rn(x); }
#else
#error "define DTYPE_float32, DTYPE_float16 or DTYPE_bfloat16"
#endif

constexpr int THREADS = 256;  // of a block, in every kernel

// This thread's number in the whole grid.
__device__ inline long long my_number() { return blockIdx.x * (long long)blockDim.x + threadIdx.x; }
