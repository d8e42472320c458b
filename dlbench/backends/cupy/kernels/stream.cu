// STREAM's kernels and activation functions: one element of c from those of a and b at the same place.
#include "number.cuh"

__device__ inline float copy_of(float a, float, float) { return a; }
__device__ inline float scale_of(float a, float, float scalar) { return scalar * a; }
__device__ inline float add_of(float a, float b, float) { return a + b; }
__device__ inline float triad_of(float a, float b, float scalar) { return a + scalar * b; }
__device__ inline float relu_of(float a, float, float) { return a < 0.0f ? 0.0f : a; }  // NaN stays NaN
__device__ inline float leaky_relu_of(float a, float, float slope) { return a < 0.0f ? slope * a : a; }
__device__ inline float step_of(float a, float, float) { return a > 0.0f ? 1.0f : 0.0f; }
__device__ inline float sigmoid_of(float a, float, float) { return 1.0f / (1.0f + expf(-a)); }
__device__ inline float tanh_of(float a, float, float) { return tanhf(a); }
__device__ inline float silu_of(float a, float, float) { return a / (1.0f + expf(-a)); }
__device__ inline float gelu_of(float a, float, float) { return 0.5f * a * (1.0f + erff(0.70710678f * a)); }
__device__ inline float gelu_tanh_of(float a, float, float) {
    return 0.5f * a * (1.0f + tanhf(0.79788456f * (a + 0.044715f * a * a * a)));  // sqrt(2/pi)
}

// The threads of the grid take the elements in turn. An op without a second operand passes its first for it.
template <typename Op>
__device__ void one_by_one(const T *a, const T *b, T *c, long long first, long long n, float scalar, Op op) {
    for (long long i = first + my_number(); i < n; i += gridDim.x * (long long)blockDim.x)
        c[i] = narrow(op(wide(a[i]), wide(b[i]), scalar));
}

__device__ inline bool aligned(const void *pointer) { return (unsigned long long)pointer % 16 == 0; }

// The same with 16 bytes a step, the widest load and store there is for a thread on every GPU, then the elements that
// are left over. A tensor that does not begin at a multiple of 16 bytes is gone through one by one.
template <typename Op>
__device__ void by_16_bytes(const T *a, const T *b, T *c, long long n, float scalar, Op op) {
    constexpr int WIDTH = sizeof(uint4) / sizeof(T);
    const bool wide_steps = aligned(a) && aligned(b) && aligned(c);
    const long long packs = wide_steps ? n / WIDTH : 0;
    for (long long i = my_number(); i < packs; i += gridDim.x * (long long)blockDim.x) {
        const uint4 of_a = ((const uint4 *)a)[i], of_b = ((const uint4 *)b)[i];
        uint4 of_c;
        for (int j = 0; j < WIDTH; ++j)
            ((T *)&of_c)[j] = narrow(op(wide(((const T *)&of_a)[j]), wide(((const T *)&of_b)[j]), scalar));
        ((uint4 *)c)[i] = of_c;
    }
    one_by_one(a, b, c, packs * WIDTH, n, scalar, op);
}

extern "C" __global__ void copy_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, copy_of);
}
extern "C" __global__ void copy_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, copy_of);
}

extern "C" __global__ void scale_naive(const T *__restrict__ a, T *__restrict__ c, long long n, float scalar) {
    one_by_one(a, a, c, 0, n, scalar, scale_of);
}
extern "C" __global__ void scale_tiled(const T *__restrict__ a, T *__restrict__ c, long long n, float scalar) {
    by_16_bytes(a, a, c, n, scalar, scale_of);
}

extern "C" __global__ void add_naive(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                                     long long n) {
    one_by_one(a, b, c, 0, n, 0.0f, add_of);
}
extern "C" __global__ void add_tiled(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                                     long long n) {
    by_16_bytes(a, b, c, n, 0.0f, add_of);
}

extern "C" __global__ void triad_naive(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                                       long long n, float scalar) {
    one_by_one(a, b, c, 0, n, scalar, triad_of);
}
extern "C" __global__ void triad_tiled(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                                       long long n, float scalar) {
    by_16_bytes(a, b, c, n, scalar, triad_of);
}

extern "C" __global__ void relu_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, relu_of);
}
extern "C" __global__ void relu_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, relu_of);
}

extern "C" __global__ void leaky_relu_naive(const T *__restrict__ a, T *__restrict__ c, long long n, float scalar) {
    one_by_one(a, a, c, 0, n, scalar, leaky_relu_of);
}
extern "C" __global__ void leaky_relu_tiled(const T *__restrict__ a, T *__restrict__ c, long long n, float scalar) {
    by_16_bytes(a, a, c, n, scalar, leaky_relu_of);
}

extern "C" __global__ void step_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, step_of);
}
extern "C" __global__ void step_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, step_of);
}

extern "C" __global__ void sigmoid_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, sigmoid_of);
}
extern "C" __global__ void sigmoid_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, sigmoid_of);
}

extern "C" __global__ void tanh_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, tanh_of);
}
extern "C" __global__ void tanh_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, tanh_of);
}

extern "C" __global__ void silu_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, silu_of);
}
extern "C" __global__ void silu_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, silu_of);
}

extern "C" __global__ void gelu_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, gelu_of);
}
extern "C" __global__ void gelu_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, gelu_of);
}

extern "C" __global__ void gelu_tanh_naive(const T *__restrict__ a, T *__restrict__ c, long long n) {
    one_by_one(a, a, c, 0, n, 0.0f, gelu_tanh_of);
}
extern "C" __global__ void gelu_tanh_tiled(const T *__restrict__ a, T *__restrict__ c, long long n) {
    by_16_bytes(a, a, c, n, 0.0f, gelu_tanh_of);
}
