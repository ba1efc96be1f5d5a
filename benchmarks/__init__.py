"""What Stageline costs, in one run that anyone can repeat: `make bench`."""
