"""numpy: array expressions and BLAS."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="numpy",
    module="dlbench.backends.numpy.backend",
    factory="NumpyBackend",
    requires="numpy",
    install="pip install numpy",
    variants={
        "library": "BLAS, as numpy was built with (OpenBLAS in the wheels)",
        "im2col": "convolution as a matrix product over gathered columns, image by image",
        "native": "array expressions",
    },
)
