"""How a pool's state is kept on its metadata device."""
