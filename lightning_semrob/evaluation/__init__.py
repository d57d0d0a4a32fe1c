"""A job: its tasks and models, the loop over finders, the rows and records it leaves, the metrics over them."""
