"""How processes share the rows of a job."""
