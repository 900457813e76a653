"""Migrations of the database, oldest first; engine.store.schema runs them."""
