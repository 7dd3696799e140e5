"""Audio before it is sent: what may be a source of it, what is wrong with it, what its bytes last."""
