"""torch: the vendor's library, torch without it, and torch's compiler."""

from dlbench.backends.backend import BackendSpec

SPEC = BackendSpec(
    name="torch",
    module="dlbench.backends.torch.backend",
    factory="TorchBackend",
    requires="torch",
    install="pip install torch",
    variants={
        "library": "torch's defaults: oneDNN and MKL on a CPU, cuDNN and cuBLAS (MIOpen and hipBLAS) on a GPU",
        "native": "no oneDNN, NNPACK, cuDNN or MIOpen: torch's own kernels; matrix products stay in MKL, cuBLAS or hipBLAS",
        "compiled": "torch.compile of what `library` calls: a CPU needs a C++ compiler, a GPU needs Triton",
    },
)
