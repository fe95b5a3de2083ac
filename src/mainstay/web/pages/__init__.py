"""One module for each page: pure, from record to text."""
