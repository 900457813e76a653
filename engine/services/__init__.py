"""Use cases: what a person or a plan may ask of the desk."""
