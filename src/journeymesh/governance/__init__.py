"""Data products and their contracts, purposes and approvals."""
