"""The async session for programs without an event loop: it runs in the loop of a thread, and calls cross into that."""
