"""What each page is given: every key that its template uses is declared here, and no other."""
