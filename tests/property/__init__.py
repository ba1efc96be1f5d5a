"""Random histories of commands, and what must hold after every one of them."""
