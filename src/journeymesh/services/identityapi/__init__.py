"""identityapi: who one is and may be, decisions and why, purposes and their approvals, the audit."""
