"""The console: pages over the same HTTP APIs as everyone else's, asked with the viewer's own token."""
