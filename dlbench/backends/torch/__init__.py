"""torch: the vendor's library, and torch without it."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="torch",
    module="dlbench.backends.torch.backend",
    factory="TorchBackend",
    requires="torch",
    install="pip install torch",
    variants={
        "library": "torch's defaults: oneDNN and MKL on a CPU, cuDNN and cuBLAS on an NVIDIA GPU",
        "native": "no oneDNN, NNPACK or cuDNN: torch's own kernels; float32 and float64 products stay in MKL",
    },
)
