"""The state of the system as values, and the tables of what may follow what."""
