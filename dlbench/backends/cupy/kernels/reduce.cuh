// A reduction over the threads of a block, by halves in shared memory.
#pragma once
#include "number.cuh"

// Return all the threads' values combined, to every thread. All threads of the block must call this together.
template <typename Combine>
__device__ float reduced(float value, Combine combine) {
    __shared__ float partial[THREADS];
    const int thread = threadIdx.x;
    partial[thread] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (thread < half) partial[thread] = combine(partial[thread], partial[thread + half]);
        __syncthreads();
    }
    const float result = partial[0];
    __syncthreads();  // all have read it before the next reduction writes
    return result;
}

__device__ inline float largest_of(float value) {
    return reduced(value, [](float one, float other) { return fmaxf(one, other); });
}

__device__ inline float sum_of(float value) {
    return reduced(value, [](float one, float other) { return one + other; });
}
