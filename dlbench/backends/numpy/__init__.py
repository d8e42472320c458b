"""numpy: array expressions and BLAS."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="numpy",
    module="dlbench.backends.numpy.backend",
    factory="NumpyBackend",
    requires="numpy",
    install="pip install numpy",
    variants={
        "library": "BLAS, as numpy was built with (OpenBLAS in the wheels), and scipy for sparse matrices",
        "im2col": "convolution as a matrix product over gathered columns, image by image",
        "native": "array expressions",
        "winograd": "convolution of 3×3 filters by minimal filtering, F(2×2, 3×3), image by image",
        "fft": "convolution as a product of spectra, by scipy.fft on one core",
        "vjp": "a gradient in reverse mode, written out by hand",
        "jvp": "a gradient in forward mode, written out by hand, weight by weight",
        "finite_differences": "a gradient by differences, weight by weight",
    },
)
