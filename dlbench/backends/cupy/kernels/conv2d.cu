// Two-dimensional convolution and both its gradients, NCHW, with stride, padding, dilation and groups.
//
// y[n,k,p,q] = sum over c, r, s of x[n, c, p·stride_h - pad_h + r·dilation, q·stride_w - pad_w + s·dilation] · w[k,c,r,s]
// where c counts the input channels of the group to which filter k belongs, and x is 0 outside the image.
//
// The tiled kernels are implicit GEMMs: each of the three sums is a product of two matrices, a product for each group.
// One matrix is never stored: its elements are looked up in the images when a tile is loaded.
#include "tile.cuh"

struct Conv {
    int n, c, h, w;    // images, input channels, their height and width
    int k, r, s;       // filters, their height and width
    int p, q;          // the output's height and width
    int stride_h, stride_w, pad_h, pad_w, dilation, groups;

    __device__ int c_group() const { return c / groups; }  // input channels of a group
    __device__ int k_group() const { return k / groups; }  // filters of a group

    // Where in memory an element is. Products of extents may exceed 31 bits.
    __device__ long long in_x(int n_, int c_, int i, int j) const { return (((long long)n_ * c + c_) * h + i) * w + j; }
    __device__ long long in_y(int n_, int k_, int p_, int q_) const { return (((long long)n_ * k + k_) * p + p_) * q + q_; }
    __device__ long long in_w(int k_, int c_, int r_, int s_) const {
        return (((long long)k_ * c_group() + c_) * r + r_) * s + s_;
    }

    // The value of x which tap (r, s) meets for output (p, q).
    __device__ float x_at(const T *x, int n_, int c_, int p_, int q_, int r_, int s_) const {
        const int i = p_ * stride_h - pad_h + r_ * dilation, j = q_ * stride_w - pad_w + s_ * dilation;
        return 0 <= i && i < h && 0 <= j && j < w ? wide(x[in_x(n_, c_, i, j)]) : 0.0f;
    }

    // The gradient of the output for which tap (r, s) met pixel (i, j): 0 where there is none.
    __device__ float dy_at(const T *dy, int n_, int k_, int i, int j, int r_, int s_) const {
        const int down = i + pad_h - r_ * dilation, right = j + pad_w - s_ * dilation;
        if (down < 0 || right < 0 || down % stride_h || right % stride_w) return 0.0f;
        const int p_ = down / stride_h, q_ = right / stride_w;
        return p_ < p && q_ < q ? wide(dy[in_y(n_, k_, p_, q_)]) : 0.0f;
    }
};

// What every kernel takes after its tensors, and the same as a Conv.
#define PARAMETERS                                                                                                   \
    long long n, long long c, long long h, long long w, long long k, long long r, long long s, long long p,          \
        long long q, long long stride_h, long long stride_w, long long pad_h, long long pad_w, long long dilation,   \
        long long groups
#define CONV                                                                                                         \
    {                                                                                                                \
        (int)n, (int)c, (int)h, (int)w, (int)k, (int)r, (int)s, (int)p, (int)q, (int)stride_h, (int)stride_w,        \
            (int)pad_h, (int)pad_w, (int)dilation, (int)groups                                                       \
    }

// One thread an element of y.
extern "C" __global__ void conv2d_forward_naive(const T *__restrict__ x, const T *__restrict__ filter,
                                                T *__restrict__ y, PARAMETERS) {
    const Conv conv = CONV;
    const long long number = my_number();
    if (number >= n * k * p * q) return;
    const int my_q = number % q, my_p = number / q % p, my_k = number / q / p % k, my_n = number / q / p / k;
    const int first = my_k / conv.k_group() * conv.c_group();
    float sum = 0.0f;
    for (int c_ = 0; c_ < conv.c_group(); ++c_)
        for (int r_ = 0; r_ < conv.r; ++r_)
            for (int s_ = 0; s_ < conv.s; ++s_)
                sum += conv.x_at(x, my_n, first + c_, my_p, my_q, r_, s_) * wide(filter[conv.in_w(my_k, c_, r_, s_)]);
    y[number] = narrow(sum);
}

// One thread an element of dx: it asks every filter and every tap which output they made of this pixel.
extern "C" __global__ void conv2d_backward_data_naive(const T *__restrict__ dy, const T *__restrict__ filter,
                                                      T *__restrict__ dx, PARAMETERS) {
    const Conv conv = CONV;
    const long long number = my_number();
    if (number >= n * c * h * w) return;
    const int j = number % w, i = number / w % h, my_c = number / w / h % c, my_n = number / w / h / c;
    const int first = my_c / conv.c_group() * conv.k_group(), c_ = my_c % conv.c_group();
    float sum = 0.0f;
    for (int k_ = first; k_ < first + conv.k_group(); ++k_)
        for (int r_ = 0; r_ < conv.r; ++r_)
            for (int s_ = 0; s_ < conv.s; ++s_)
                sum += conv.dy_at(dy, my_n, k_, i, j, r_, s_) * wide(filter[conv.in_w(k_, c_, r_, s_)]);
    dx[number] = narrow(sum);
}

// One thread an element of dw: it goes over all images and outputs.
extern "C" __global__ void conv2d_backward_weight_naive(const T *__restrict__ x, const T *__restrict__ dy,
                                                        T *__restrict__ dw, PARAMETERS) {
    const Conv conv = CONV;
    const long long number = my_number();
    if (number >= k * conv.c_group() * r * s) return;
    const int my_s = number % s, my_r = number / s % r;
    const int c_ = number / s / r % conv.c_group(), my_k = number / s / r / conv.c_group();
    const int my_c = my_k / conv.k_group() * conv.c_group() + c_;
    float sum = 0.0f;
    for (int n_ = 0; n_ < conv.n; ++n_)
        for (int p_ = 0; p_ < conv.p; ++p_)
            for (int q_ = 0; q_ < conv.q; ++q_)
                sum += conv.x_at(x, n_, my_c, p_, q_, my_r, my_s) * wide(dy[conv.in_y(n_, my_k, p_, q_)]);
    dw[number] = narrow(sum);
}

// y as a matrix: filters of the group × outputs (n, p, q); the terms are (c, r, s).
extern "C" __global__ void conv2d_forward_tiled(const T *__restrict__ x, const T *__restrict__ filter,
                                                T *__restrict__ y, PARAMETERS) {
    const Conv conv = CONV;
    const int rows = conv.k_group(), columns = conv.n * conv.p * conv.q, depth = conv.c_group() * conv.r * conv.s;
    const Place place = my_tile(rows, columns);
    const int first_k = place.product * conv.k_group(), first_c = place.product * conv.c_group();
    product(
        rows, columns, depth, place.top, place.left, true, false,
        [&](int row, int term) { return wide(filter[(long long)(first_k + row) * depth + term]); },
        [&](int term, int column) {
            const int q_ = column % conv.q, p_ = column / conv.q % conv.p, n_ = column / conv.q / conv.p;
            const int s_ = term % conv.s, r_ = term / conv.s % conv.r, c_ = term / conv.s / conv.r;
            return conv.x_at(x, n_, first_c + c_, p_, q_, r_, s_);
        },
        [&](int row, int column, float sum) {
            const int q_ = column % conv.q, p_ = column / conv.q % conv.p, n_ = column / conv.q / conv.p;
            y[conv.in_y(n_, first_k + row, p_, q_)] = narrow(sum);
        });
}

// dx as a matrix: input channels of the group × pixels (n, i, j); the terms are (k, r, s).
extern "C" __global__ void conv2d_backward_data_tiled(const T *__restrict__ dy, const T *__restrict__ filter,
                                                      T *__restrict__ dx, PARAMETERS) {
    const Conv conv = CONV;
    const int rows = conv.c_group(), columns = conv.n * conv.h * conv.w, depth = conv.k_group() * conv.r * conv.s;
    const Place place = my_tile(rows, columns);
    const int first_k = place.product * conv.k_group(), first_c = place.product * conv.c_group();
    product(
        rows, columns, depth, place.top, place.left, true, false,
        [&](int row, int term) {
            const int s_ = term % conv.s, r_ = term / conv.s % conv.r, k_ = term / conv.s / conv.r;
            return wide(filter[conv.in_w(first_k + k_, row, r_, s_)]);
        },
        [&](int term, int column) {
            const int s_ = term % conv.s, r_ = term / conv.s % conv.r, k_ = term / conv.s / conv.r;
            const int j = column % conv.w, i = column / conv.w % conv.h, n_ = column / conv.w / conv.h;
            return conv.dy_at(dy, n_, first_k + k_, i, j, r_, s_);
        },
        [&](int row, int column, float sum) {
            const int j = column % conv.w, i = column / conv.w % conv.h, n_ = column / conv.w / conv.h;
            dx[conv.in_x(n_, first_c + row, i, j)] = narrow(sum);
        });
}

// dw as a matrix: filters of the group × taps (c, r, s); the terms are (n, p, q).
extern "C" __global__ void conv2d_backward_weight_tiled(const T *__restrict__ x, const T *__restrict__ dy,
                                                        T *__restrict__ dw, PARAMETERS) {
    const Conv conv = CONV;
    const int rows = conv.k_group(), columns = conv.c_group() * conv.r * conv.s, depth = conv.n * conv.p * conv.q;
    const Place place = my_tile(rows, columns);
    const int first_k = place.product * conv.k_group(), first_c = place.product * conv.c_group();
    product(
        rows, columns, depth, place.top, place.left, true, true,
        [&](int row, int term) {
            const int q_ = term % conv.q, p_ = term / conv.q % conv.p, n_ = term / conv.q / conv.p;
            return wide(dy[conv.in_y(n_, first_k + row, p_, q_)]);
        },
        [&](int term, int column) {
            const int q_ = term % conv.q, p_ = term / conv.q % conv.p, n_ = term / conv.q / conv.p;
            const int s_ = column % conv.s, r_ = column / conv.s % conv.r, c_ = column / conv.s / conv.r;
            return conv.x_at(x, n_, first_c + c_, p_, q_, r_, s_);
        },
        [&](int row, int column, float sum) {
            dw[(long long)(first_k + row) * columns + column] = narrow(sum);
        });
}
