"""One connection of the SDK, and the rules by which it ends."""
