"""Who may call: tokens, what each method needs, and TLS."""
