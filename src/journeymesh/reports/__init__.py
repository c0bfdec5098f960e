"""Pages that stand alone: a policy's journeys as one HTML file."""
