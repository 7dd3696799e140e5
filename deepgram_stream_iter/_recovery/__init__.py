"""How a session gets over the loss of its connection: pure classes, which the lifecycle and the outbox drive."""
