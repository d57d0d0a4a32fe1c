"""The commands of ``semrob``, a module each with ``main(args)``."""
