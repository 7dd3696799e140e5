"""What goes out: audio and control messages on their way to whichever connection there is."""
