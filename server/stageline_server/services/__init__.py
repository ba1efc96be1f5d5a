"""The services of the wire. A method translates: request to command, result to response; the plane and the ports work."""
