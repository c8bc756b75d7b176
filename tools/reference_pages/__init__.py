"""The tables of the reference pages are made from the code when the site is built, and kept nowhere."""
