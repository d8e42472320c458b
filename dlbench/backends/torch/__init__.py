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
        "fft": "convolution as a product of spectra, by torch.fft (MKL or pocketfft, cuFFT or hipFFT)",
        "naive": "a Python loop over the steps, a product or an element-wise operation at a time",
        "math": "attention by scaled_dot_product_attention's own products and softmax alone",
        "flash": "attention by its FlashAttention kernels alone",
        "efficient": "attention by its memory-efficient kernels (xFormers) alone, on CUDA",
        "cudnn": "attention by cuDNN alone, on CUDA",
        "vjp": "a gradient in reverse mode, by torch.func.vjp",
        "jvp": "a gradient in forward mode, by torch.func.jvp, weight by weight",
        "jacfwd": "a gradient in forward mode, by torch.func.jacfwd, a layer's weights at once",
        "finite_differences": "a gradient by differences, weight by weight",
        "plain": "an optimizer's step parameter by parameter, an operator for each operation",
        "foreach": "an optimizer's step on all parameters at once, an operator for each operation",
        "fused": "an optimizer's step on all parameters at once, by one operator",
    },
)
