"""cupy: NVIDIA's libraries called directly, and kernels of one's own in CUDA C++."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="cupy",
    module="dlbench.backends.cupy.backend",
    factory="CupyBackend",
    requires="cupy",
    install='pip install "cupy-cuda13x[ctk]" (cupy-cuda12x for a driver of CUDA 12)',
    variants={
        "library": "cuBLAS, and cupy's array operations",
        "naive": "the textbook's kernel in CUDA C++, one thread for each output",
        "tiled": "kernels in CUDA C++ that share tiles within a block",
        "cudnn": "cuDNN's graph API (nvidia-cudnn-frontend)",
    },
)
