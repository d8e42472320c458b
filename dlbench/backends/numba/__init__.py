"""numba: textbook loops at compiled speed."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="numba",
    module="dlbench.backends.numba.backend",
    factory="NumbaBackend",
    requires="numba",
    install="pip install numba",
    variants={"naive": "the textbook loop nest on one core, compiled, sums in the order written"},
)
