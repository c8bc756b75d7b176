"""The commands of ``thinsim snapshotter``, a module each."""
