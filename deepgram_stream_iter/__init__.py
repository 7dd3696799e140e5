"""Deepgram live speech-to-text callbacks as an async iterator of typed events."""
