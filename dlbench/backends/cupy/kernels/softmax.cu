// softmax: y = exp(x - max) / sum of exp(x - max); log_softmax: y = x - max - log of that sum; row by row.
// The largest element is subtracted so that no exponential overflows.
#include "reduce.cuh"

// One element of either, from its row's maximum and sum.
__device__ inline float softmax_of(float x, float max, float sum) { return expf(x - max) / sum; }
__device__ inline float log_softmax_of(float x, float max, float sum) { return x - max - logf(sum); }

// One thread a row, in three passes: the maximum, the sum, the answer.
template <typename Answer>
__device__ void by_thread(const T *__restrict__ x, T *__restrict__ y, long long rows, long long cols, Answer answer) {
    const long long row = my_number();
    if (row >= rows) return;
    x += row * cols;
    y += row * cols;
    float max = wide(x[0]);
    for (long long i = 1; i < cols; ++i) max = fmaxf(max, wide(x[i]));
    float sum = 0.0f;
    for (long long i = 0; i < cols; ++i) sum += expf(wide(x[i]) - max);
    for (long long i = 0; i < cols; ++i) y[i] = narrow(answer(wide(x[i]), max, sum));
}

// One block a row, in the same three passes: each thread takes every 256th element, and the block combines.
template <typename Answer>
__device__ void by_block(const T *__restrict__ x, T *__restrict__ y, long long cols, Answer answer) {
    x += blockIdx.x * cols;
    y += blockIdx.x * cols;
    float my_max = wide(x[0]);
    for (long long i = threadIdx.x; i < cols; i += THREADS) my_max = fmaxf(my_max, wide(x[i]));
    const float max = largest_of(my_max);
    float my_sum = 0.0f;
    for (long long i = threadIdx.x; i < cols; i += THREADS) my_sum += expf(wide(x[i]) - max);
    const float sum = sum_of(my_sum);
    for (long long i = threadIdx.x; i < cols; i += THREADS) y[i] = narrow(answer(wide(x[i]), max, sum));
}

extern "C" __global__ void softmax_naive(const T *__restrict__ x, T *__restrict__ y, long long rows, long long cols) {
    by_thread(x, y, rows, cols, softmax_of);
}

extern "C" __global__ void softmax_tiled(const T *__restrict__ x, T *__restrict__ y, long long, long long cols) {
    by_block(x, y, cols, softmax_of);
}

extern "C" __global__ void log_softmax_naive(const T *__restrict__ x, T *__restrict__ y, long long rows,
                                             long long cols) {
    by_thread(x, y, rows, cols, log_softmax_of);
}

extern "C" __global__ void log_softmax_tiled(const T *__restrict__ x, T *__restrict__ y, long long, long long cols) {
    by_block(x, y, cols, log_softmax_of);
}
