// y = the sum of each row of x, which is rows × cols.
#include "reduce.cuh"

// One thread a row.
extern "C" __global__ void sum_naive(const T *__restrict__ x, T *__restrict__ y, long long rows, long long cols) {
    const long long row = my_number();
    if (row >= rows) return;
    x += row * cols;
    float sum = 0.0f;
    for (long long i = 0; i < cols; ++i) sum += wide(x[i]);
    y[row] = narrow(sum);
}

// One block a row: each thread sums every 256th element, and the block adds up their sums.
extern "C" __global__ void sum_tiled(const T *__restrict__ x, T *__restrict__ y, long long, long long cols) {
    x += blockIdx.x * cols;
    float my_sum = 0.0f;
    for (long long i = threadIdx.x; i < cols; i += THREADS) my_sum += wide(x[i]);
    const float sum = sum_of(my_sum);
    if (threadIdx.x == 0) y[blockIdx.x] = narrow(sum);
}
