"""``python -m thinsim`` runs the command line."""

import signal

if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # There is nothing to clean up while modules load, so Ctrl-C may end the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from thinsim.cli.main import main

main()
