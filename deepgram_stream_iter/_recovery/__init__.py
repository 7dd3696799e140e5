"""How a session gets over the loss of its connection: pure classes, which the inbox and the outbox drive."""
