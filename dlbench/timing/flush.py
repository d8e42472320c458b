"""Overwrite the last-level cache, so that the next call finds its operands in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np


class CacheFlush:
    """A buffer twice as large as the last-level cache, allocated once and rewritten before each cold sample.

    Every element is read and written: a plain fill of a large buffer uses stores that bypass the cache and would
    push nothing out. The work is spread over threads, since each core has private caches of its own.
    """

    def __init__(self, cache_bytes: int, threads: int) -> None:
        """Allocate the buffer; `cache_bytes` is the size of the last-level cache."""
        self._buffer = np.zeros(max(1, 2 * cache_bytes // 8), dtype=np.int64)
        self._slices = np.array_split(self._buffer, threads)
        self._pool = ThreadPoolExecutor(threads)

    @property
    def nbytes(self) -> int:
        """The size of the buffer."""
        return self._buffer.nbytes

    def __call__(self) -> None:
        """Rewrite the buffer."""
        for done in [self._pool.submit(np.add, part, 1, out=part) for part in self._slices]:
            done.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()
