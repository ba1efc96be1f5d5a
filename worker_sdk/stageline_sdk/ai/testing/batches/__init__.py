"""The batch APIs of the providers, with the files that they read and write."""
