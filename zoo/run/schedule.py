"""When something that happens every so many thousand images is due."""

from __future__ import annotations

import math


class Every:
    """A clock that rings whenever training passes a whole multiple of `kimg`.

    It rings once however many multiples one batch passes, never at zero, and after :meth:`start`
    never for a multiple that lies behind: a callback that calls it in ``on_train_start`` has
    nothing to save, since Lightning has restored the image count by then.

    Raises:
        ValueError: `kimg`, the period in thousands of images, is not positive and finite.
    """

    def __init__(self, kimg: float) -> None:
        if not 0 < kimg < math.inf:
            raise ValueError(f"Every: the period must be a positive number of kimg, got {kimg}")
        self.kimg = kimg
        self._passed = 0

    def start(self, now: float) -> None:
        """Forget every multiple up to and including `now`, in kimg (0, or where a run resumes)."""
        self._passed = self._multiples(now)

    def due(self, now: float) -> bool:
        """Whether a multiple was passed or reached since the last call, at `now` kimg."""
        before, self._passed = self._passed, self._multiples(now)
        return self._passed > before

    def _multiples(self, now: float) -> int:
        return math.floor(now / self.kimg + 1e-6)  # 0.3 / 0.1 = 2.9999999999999996 is the third
