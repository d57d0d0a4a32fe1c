"""The commands of ``python -m lightning_semrob``, a module each with ``main(args)``."""
