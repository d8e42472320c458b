"""No hypothesis deadline here: how long an example takes says how busy the machine is, not whether the op is right."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("ops", deadline=None)
settings.load_profile("ops")
