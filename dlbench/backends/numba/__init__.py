"""numba: textbook loops at compiled speed."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="numba",
    module="dlbench.backends.numba.backend",
    factory="NumbaBackend",
    requires="numba",
    install="pip install numba",
    variants={
        "naive": "the textbook loop nest on one core, compiled, sums in the order written",
        "jvp": "a gradient in forward mode, weight by weight",
        "finite_differences": "a gradient by central differences, weight by weight",
    },
)
