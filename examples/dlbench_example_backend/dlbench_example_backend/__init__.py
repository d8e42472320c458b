"""Python's own lists as a backend: what is known of it without importing it."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="lists",
    module="dlbench_example_backend.backend",
    factory="ListBackend",
    requires="dlbench_example_backend",
    install="pip install dlbench-example-backend",
    variants={
        "naive": "three nested loops over lists",
        "native": "sums over zipped rows and columns",
    },
)
