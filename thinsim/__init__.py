"""thinsim is a test bench for thin-provisioned container storage."""

__version__ = "0.1.0"
