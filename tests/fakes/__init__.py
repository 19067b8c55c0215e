"""In place of services, for tests."""
