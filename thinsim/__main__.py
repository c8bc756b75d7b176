"""Runs the command line as ``python -m thinsim``."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # While modules load there is nothing to give back: Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from thinsim.cli.main import main

main()
