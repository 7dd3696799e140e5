"""Events: what they are, and how their parts are read out of a message."""
