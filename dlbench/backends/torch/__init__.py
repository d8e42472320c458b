"""torch: the vendor's library, and torch without it."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="torch",
    module="dlbench.backends.torch.backend",
    factory="TorchBackend",
    requires="torch",
    install="pip install torch",
    variants={
        "library": "torch's defaults: oneDNN and MKL on an Intel or AMD processor, cuDNN and cuBLAS on an NVIDIA GPU",
        "native": "oneDNN (cuDNN) off: torch's own kernels, whose matrix products still go to the BLAS it was built with",
    },
)
