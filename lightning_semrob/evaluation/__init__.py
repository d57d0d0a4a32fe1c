"""A job: its tasks and models, the loop over the finders, the runs that it records, and the metrics over them."""
