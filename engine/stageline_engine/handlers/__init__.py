"""How each kind of command is carried out for a batch: what to load, whom to ask for the decision.

Handlers hold no rules. They load, call ``decide``, and give the events to the workspace.
"""
