"""What stands on the event loop alone: its clock, a flag to wait for, tasks, a time limit."""
