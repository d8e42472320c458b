"""A convolution in C++, beside oneDNN's: `dlbench run examples/cpp_conv.yaml`.

torch compiles it with the system's C++ compiler and ninja when it is first prepared, which is not timed, and keeps what it
has compiled.
"""

from functools import cache

import torch
from torch.utils.cpp_extension import load_inline

import dlbench
from dlbench.errors import UnsupportedError

SOURCE = """
#include <ATen/Parallel.h>
#include <torch/extension.h>

// y[n,k,p,q] = sum over c, r, s of x[n, c, p·stride + r - pad, q·stride + s - pad] · w[k,c,r,s]; an image and filter a task.
torch::Tensor conv(torch::Tensor x, torch::Tensor w, torch::Tensor y, int64_t stride, int64_t pad) {
  const int64_t C = x.size(1), H = x.size(2), W = x.size(3);
  const int64_t K = w.size(0), R = w.size(2), S = w.size(3), P = y.size(2), Q = y.size(3);
  const float* in = x.data_ptr<float>();
  const float* filter = w.data_ptr<float>();
  float* out = y.data_ptr<float>();
  at::parallel_for(0, x.size(0) * K, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t n = task / K, k = task % K;
      float* plane = out + task * P * Q;
      std::fill(plane, plane + P * Q, 0.0f);
      for (int64_t c = 0; c < C; ++c)
        for (int64_t r = 0; r < R; ++r)
          for (int64_t s = 0; s < S; ++s) {
            const float weight = filter[((k * C + c) * R + r) * S + s];
            for (int64_t p = 0; p < P; ++p) {
              const int64_t row = p * stride + r - pad;
              if (row < 0 || row >= H) continue;
              const float* line = in + ((n * C + c) * H + row) * W;
              for (int64_t q = 0; q < Q; ++q) {
                const int64_t column = q * stride + s - pad;
                if (column >= 0 && column < W) plane[p * Q + q] += weight * line[column];
              }
            }
          }
    }
  });
  return y;
}
"""


@cache
def compiled():
    """Return the function, compiled once a process."""
    return load_inline(
        name="dlbench_example_conv", cpp_sources=SOURCE, functions=["conv"], extra_cflags=["-O3"]
    ).conv


@dlbench.implements("conv2d", variant="cpp", dtypes=("float32",))
def prepare(problem: dlbench.Problem, x: torch.Tensor, w: torch.Tensor):
    """Compile, and allocate the output."""
    op = problem.op
    if x.device.type != "cpu":
        raise UnsupportedError("computes on a processor")
    if op.groups != 1 or op.dilation != 1 or len({op.stride, op.strides[1]}) > 1 or len(set(op.pads)) > 1:
        raise UnsupportedError("takes no groups, no dilation, and the same stride and padding both ways")
    conv = compiled()
    y = x.new_empty(problem.op.outputs("forward")["y"])
    return lambda: conv(x, w, y, op.stride, op.pad)
