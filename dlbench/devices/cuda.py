"""NVIDIA GPUs as the driver's management library (NVML) sees them, whether or not a framework can use them."""

from __future__ import annotations

import pynvml

from dlbench.devices.device import Device


def gpus() -> tuple[Device, ...]:
    """Return the GPUs that NVML lists, none where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return ()
    try:
        driver = str(pynvml.nvmlSystemGetDriverVersion())
        return tuple(_gpu(index, driver) for index in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError:
        return ()
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int, driver: str) -> Device:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Device(
        name=f"cuda:{index}",
        model=str(pynvml.nvmlDeviceGetName(handle)),
        vendor="nvidia",
        memory=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        driver=driver,
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
    )
