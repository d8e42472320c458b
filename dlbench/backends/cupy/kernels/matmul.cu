// c = a b for `batch` pairs of matrices: a is m × k, b is k × n. `trans_a`: a is stored as k × m; `trans_b`: b as n × k.
#include "tile.cuh"

// One thread an element of c: it reads a row of a and a column of b.
extern "C" __global__ void matmul_naive(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                                        long long m, long long n, long long k, long long batch, long long trans_a,
                                        long long trans_b) {
    const long long number = my_number();
    if (number >= batch * m * n) return;
    const long long column = number % n, row = number / n % m, pair = number / n / m;
    a += pair * m * k;
    b += pair * k * n;
    float sum = 0.0f;
    for (long long term = 0; term < k; ++term)
        sum += wide(a[trans_a ? term * m + row : row * k + term]) * wide(b[trans_b ? column * k + term : term * n + column]);
    c[number] = narrow(sum);
}

// One block a tile of 64 × 64 elements of c.
extern "C" __global__ void matmul_tiled(const T *__restrict__ a, const T *__restrict__ b, T *__restrict__ c,
                                        long long m, long long n, long long k, long long, long long trans_a,
                                        long long trans_b) {
    const Place place = my_tile(m, n);
    a += place.product * m * k;
    b += place.product * k * n;
    c += place.product * m * n;
    product(
        m, n, k, place.top, place.left, !trans_a, trans_b,
        [&](int row, int term) { return wide(a[trans_a ? term * m + row : row * k + term]); },
        [&](int term, int column) { return wide(b[trans_b ? column * k + term : term * n + column]); },
        [&](int row, int column, float sum) { c[row * n + column] = narrow(sum); });
}
