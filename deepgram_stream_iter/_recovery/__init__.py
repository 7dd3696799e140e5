"""How a session gets over the loss of its connection: pure classes, driven by the lifecycle and the outbox."""
