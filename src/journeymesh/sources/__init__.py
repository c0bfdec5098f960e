"""Where fixes come from: files, dumps and live databases, and the mapping from a legacy document to a fix."""
