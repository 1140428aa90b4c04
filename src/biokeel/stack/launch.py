"""Become another program that dies with the process that started it: `python launch.py <parent's pid> <program> ...`.

Linux sends a process the signal it asked for by PR_SET_PDEATHSIG when the thread that started it ends, whatever ended
it, SIGKILL too, and the request outlives exec. Asking for it here, between fork and exec in a program of its own,
keeps Python code out of the fork of a process full of threads (`preexec_fn` may deadlock there).

Run by path with `-I -S`, so it must not import anything of ours. Other systems have no such signal: there a killed
parent leaves processes behind, which the next start finds and ends.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, program = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we could ask
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606 - the caller's own command, without a shell
