"""What all tests share: the signals that a shell may have switched off for a background job."""

from __future__ import annotations

import signal

# Started with nohup or in the background of a script, Python inherits these as ignored, and so
# do all processes that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
