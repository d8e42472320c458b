// A tile of a matrix product, through shared memory and registers: what matmul and the convolutions share.
//
// A block of 256 threads computes 64 × 64 elements of the product. It goes along the sum in steps of 16 terms: the
// threads load 64 × 16 elements of either operand into shared memory, each once, and then use each 64 times. A
// thread computes 4 × 4 elements, so that of 8 numbers read from shared memory it makes 16 multiply-adds.
#pragma once
#include "number.cuh"

constexpr int SIDE = 64;             // rows, and columns, of the tile
constexpr int DEPTH = 16;            // terms of the sums in one step
constexpr int EACH = 4;              // rows, and columns, of one thread
constexpr int ACROSS = SIDE / EACH;  // threads side by side: 16, and as many above each other

// Where element `e` of a 64 × 16 tile stands. Neighbouring threads take neighbouring e and should read neighbouring
// memory: `along_depth` says that in memory the next element is the next term of the same sum.
__device__ inline int line_of(int e, bool along_depth) { return along_depth ? e / DEPTH : e % SIDE; }
__device__ inline int term_of(int e, bool along_depth) { return along_depth ? e % DEPTH : e / SIDE; }

// Compute the tile whose first element is at (top, left) of a rows × columns product of sums of `depth` terms.
// `a(row, term)` and `b(term, column)` read the operands, `store(row, column, sum)` writes an element; none of them
// is called outside the matrices. All threads of the block must call this together.
template <typename A, typename B, typename Store>
__device__ void product(int rows, int columns, int depth, int top, int left, bool a_along_depth, bool b_along_depth,
                        A a, B b, Store store) {
    // One more column than needed: threads that write down a column then write to different banks.
    __shared__ float a_tile[DEPTH][SIDE + 1];
    __shared__ float b_tile[DEPTH][SIDE + 1];
    const int thread = threadIdx.x;
    const int my_row = thread / ACROSS, my_column = thread % ACROSS;
    float sum[EACH][EACH] = {};

    for (int first = 0; first < depth; first += DEPTH) {
        for (int e = thread; e < SIDE * DEPTH; e += THREADS) {
            const int line = line_of(e, a_along_depth), term = term_of(e, a_along_depth);
            const bool inside = top + line < rows && first + term < depth;
            a_tile[term][line] = inside ? a(top + line, first + term) : 0.0f;
        }
        for (int e = thread; e < SIDE * DEPTH; e += THREADS) {
            const int line = line_of(e, b_along_depth), term = term_of(e, b_along_depth);
            const bool inside = left + line < columns && first + term < depth;
            b_tile[term][line] = inside ? b(first + term, left + line) : 0.0f;
        }
        __syncthreads();  // the tiles are complete
        for (int term = 0; term < DEPTH; ++term)
            for (int i = 0; i < EACH; ++i)
                for (int j = 0; j < EACH; ++j)
                    sum[i][j] += a_tile[term][my_row + i * ACROSS] * b_tile[term][my_column + j * ACROSS];
        __syncthreads();  // nobody reads them any more
    }

    // A thread's elements stand 16 apart, so that neighbouring threads write neighbouring memory.
    for (int i = 0; i < EACH; ++i)
        for (int j = 0; j < EACH; ++j) {
            const int row = top + my_row + i * ACROSS, column = left + my_column + j * ACROSS;
            if (row < rows && column < columns) store(row, column, sum[i][j]);
        }
}

// How many tiles cover that many rows or columns.
__device__ inline int tiles(int extent) { return (extent + SIDE - 1) / SIDE; }

// Which tile of which product this block computes. The grid is one row of blocks: first the tiles along the rows of
// the first product, then those below, then the next product.
struct Place {
    int top, left, product;
};
__device__ inline Place my_tile(int rows, int columns) {
    const int across = tiles(columns), down = tiles(rows);
    const int block = blockIdx.x;
    return {block / across % down * SIDE, block % across * SIDE, block / across / down};
}
