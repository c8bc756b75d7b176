"""``python -m thinsim``."""

from thinsim.cli.main import main

main()
