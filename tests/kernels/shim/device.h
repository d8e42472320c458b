// What a host compiler needs to read and run a CUDA C++ kernel: one block after another, its threads as fibres.
//
// A thread runs until it meets a barrier or ends; then the next one runs. A barrier that is missing therefore shows
// as a wrong answer, always the same: thread 0 is as far ahead of the others as it can be. A barrier that not every
// thread of the block meets, or that threads meet at different lines, is undefined behaviour on a GPU and an error here.
#pragma once
#include <math.h>
#include <string.h>
#include <ucontext.h>

#include <cstddef>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static  // one block runs at a time

struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

inline dim3 gridDim, blockDim, blockIdx, threadIdx;

namespace shim {

constexpr size_t STACK = 64 * 1024;

struct Fibre {
    ucontext_t context;
    std::unique_ptr<char[]> stack{new char[STACK]};
    int waits_at = 0;  // the line of the barrier
    bool ended = false;
};

inline std::vector<std::unique_ptr<Fibre>> fibres;
inline Fibre *running;
inline ucontext_t scheduler;
inline void (*body)(void *);
inline void *body_arguments;

inline void barrier(int line) {
    running->waits_at = line;
    swapcontext(&running->context, &scheduler);
}

inline void start() {
    body(body_arguments);
    running->ended = true;
}

// Run every thread of the current block up to its next barrier or its end; return an error, or nullptr.
inline const char *step(size_t threads) {
    static char error[128];
    for (size_t i = 0; i < threads; ++i) {
        running = fibres[i].get();
        threadIdx = {unsigned(i % blockDim.x), unsigned(i / blockDim.x % blockDim.y),
                     unsigned(i / blockDim.x / blockDim.y)};
        running->waits_at = 0;
        swapcontext(&scheduler, &running->context);
    }
    for (size_t i = 1; i < threads; ++i)
        if (fibres[i]->waits_at != fibres[0]->waits_at) {
            snprintf(error, sizeof error, "thread 0 stands at line %d, thread %zu at line %d (0: it has ended)",
                     fibres[0]->waits_at, i, fibres[i]->waits_at);
            return error;
        }
    return nullptr;
}

inline const char *run_block(size_t threads) {
    for (size_t i = 0; i < threads; ++i) {
        Fibre &fibre = *fibres[i];
        fibre.ended = false;
        getcontext(&fibre.context);
        fibre.context.uc_stack.ss_sp = fibre.stack.get();
        fibre.context.uc_stack.ss_size = STACK;
        fibre.context.uc_link = &scheduler;
        makecontext(&fibre.context, start, 0);
    }
    while (!fibres[0]->ended)
        if (const char *error = step(threads)) return error;
    return nullptr;
}

// Launch a kernel with pointers to its arguments, as the driver's cuLaunchKernel takes them.
template <typename... P, size_t... I>
const char *launch(void (*kernel)(P...), void **arguments, const unsigned *grid, const unsigned *block,
                   std::index_sequence<I...>) {
    struct Bound {
        void (*kernel)(P...);
        void **arguments;
    } bound{kernel, arguments};
    body = [](void *it) {
        const Bound &bound = *static_cast<Bound *>(it);
        bound.kernel(*static_cast<P *>(bound.arguments[I])...);
    };
    body_arguments = &bound;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    const size_t threads = size_t(block[0]) * block[1] * block[2];
    while (fibres.size() < threads) fibres.emplace_back(new Fibre);
    for (unsigned z = 0; z < grid[2]; ++z)
        for (unsigned y = 0; y < grid[1]; ++y)
            for (unsigned x = 0; x < grid[0]; ++x) {
                blockIdx = {x, y, z};
                if (const char *error = run_block(threads)) return error;
            }
    return nullptr;
}

template <typename... P>
const char *launch(void (*kernel)(P...), void **arguments, const unsigned *grid, const unsigned *block) {
    return launch(kernel, arguments, grid, block, std::index_sequence_for<P...>{});
}

inline unsigned bits_of(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float float_of(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

}  // namespace shim

#define __syncthreads() shim::barrier(__LINE__)
