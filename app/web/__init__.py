"""HTTP: the API, and the pages for people."""
