"""The life of a session: connect, serve, and again or over."""
