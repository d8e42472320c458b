"""Small ragged problems of activation functions, softmax and arithmetic on single elements."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.activation import Gelu, LeakyRelu, Relu, Sigmoid, Silu, Step, Tanh
from dlbench.ops.elementwise import BiasAdd, Divide, Exp, Multiply, Sqrt
from dlbench.ops.op import Op
from dlbench.ops.softmax import LogSoftmax, Softmax

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "softmax": (Softmax(rows=7, cols=129), Softmax(rows=5, cols=1)),
    "log_softmax": (LogSoftmax(rows=7, cols=129), LogSoftmax(rows=5, cols=1)),
    "step": (Step(n=1025),),
    "relu": (Relu(n=1025),),
    "leaky_relu": (LeakyRelu(n=33), LeakyRelu(n=1025, slope=0.3)),
    "sigmoid": (Sigmoid(n=1025),),
    "tanh": (Tanh(n=1025),),
    "silu": (Silu(n=1025),),
    "gelu": (Gelu(n=1025), Gelu(n=1025, approximate=True)),
    "multiply": (Multiply(n=1025),),
    "divide": (Divide(n=1025),),
    "exp": (Exp(n=1025),),
    "sqrt": (Sqrt(n=1025),),
    "bias_add": (BiasAdd(rows=7, cols=129), BiasAdd(rows=5, cols=1)),
}
