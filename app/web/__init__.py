"""HTTP: the API and the web pages."""
