"""What the SDK speaks, one file a callback dialect, behind the one protocol that they share."""
