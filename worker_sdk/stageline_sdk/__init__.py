"""The Python SDK of Stageline: write stages and workflows, run workers, start runs."""
