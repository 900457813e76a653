"""The database: tables, sessions, migrations, secrets."""
