"""thinsim.conformance runs one history on the kernel's dm-thin and on thinsim, and compares the answers."""
