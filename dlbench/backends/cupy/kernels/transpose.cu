// y = x transposed: x is rows × cols, y is cols × rows.
#include "number.cuh"

// One thread an element of y. Neighbouring threads write neighbouring memory, and read it `cols` apart.
extern "C" __global__ void transpose_naive(const T *__restrict__ x, T *__restrict__ y, long long rows, long long cols) {
    const long long number = my_number();
    if (number >= rows * cols) return;
    const long long row = number % rows, column = number / rows;
    y[number] = x[row * cols + column];
}

// One block a tile of 32 × 32 elements: read by rows, turned in shared memory, written by rows. 8 rows at a time.
extern "C" __global__ void transpose_tiled(const T *__restrict__ x, T *__restrict__ y, long long rows, long long cols) {
    constexpr int SIDE = 32, STEP = THREADS / SIDE;
    // One more column than needed: a column of the tile is then spread over all banks.
    __shared__ T tile[SIDE][SIDE + 1];
    const int across = threadIdx.x % SIDE, down = threadIdx.x / SIDE;
    const long long tiles_across = (cols + SIDE - 1) / SIDE;
    const long long top = blockIdx.x / tiles_across * SIDE, left = blockIdx.x % tiles_across * SIDE;

    for (int i = down; i < SIDE; i += STEP)
        if (top + i < rows && left + across < cols) tile[i][across] = x[(top + i) * cols + left + across];
    __syncthreads();
    for (int i = down; i < SIDE; i += STEP)
        if (left + i < cols && top + across < rows) y[(left + i) * rows + top + across] = tile[across][i];
}
