"""What comes in: every event on its way from a connection to whoever takes it."""
