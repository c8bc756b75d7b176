"""The rooms of `node` read, and on request repair, storage of this machine that thinsim did not make."""
