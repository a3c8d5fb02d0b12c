"""What all tests share: signals that a shell may have switched off, and patience with slowness."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# On a busy machine everything takes longer: that says nothing about what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

# Started with nohup or in the background of a script, Python inherits these as ignored, and so
# do all processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
