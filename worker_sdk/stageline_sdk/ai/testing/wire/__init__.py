"""What the providers' protocols look like: a request into `Asked`, an answer into a body or a stream."""
