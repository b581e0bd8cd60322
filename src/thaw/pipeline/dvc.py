"""DVC's program, except that it outlives a SIGTERM.

A batch system that ends a job sends the signal to each of its processes, to DVC as well as to the stage that it runs.
DVC then records that its stage has failed; if that killed it too, it could leave its list of locks half-written, on
which every other DVC in the project fails.
"""

import signal
import sys

from dvc.cli import main

if __name__ == "__main__":
    # Unlike one that is ignored, a signal with a handler means to the stages what it always does.
    signal.signal(signal.SIGTERM, lambda *_: None)
    sys.exit(main(sys.argv[1:]))
