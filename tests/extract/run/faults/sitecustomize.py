"""Put on PYTHONPATH by the fault tests: a measuring process that fails on clips whose names say how."""

import ctypes
import os
import sys
import time
from pathlib import Path

if "extract.run.sandbox" in sys.orig_argv:
    sys.path.insert(0, str(Path(__file__).resolve().parents[4]))
    from extract.run import worker

    measure = worker.measure
    measured = []

    def failing(filename, path, settings):
        measured.append(filename)
        if "segfault" in filename:
            ctypes.string_at(0)
        if "exit" in filename:
            print("the reason is on standard error", file=sys.stderr, flush=True)
            os._exit(3)
        if "loop" in filename:
            while True:
                pass
        if "vanish" in filename:  # as where a share is lost in the middle of a run
            Path(path).rename(f"{path}.away")
        if "hold" in filename:  # begun, and done when the test says so
            Path(f"{path}.begun").touch()
            while not Path(f"{path}.go").exists():
                time.sleep(0.02)
        if "swell" in filename or ("heir" in filename and len(measured) > 1):
            held = []
            while True:
                held.append(bytearray(os.urandom(1 << 20) * 16))
        return measure(filename, path, settings)

    worker.measure = failing
