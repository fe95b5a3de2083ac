"""Services as people write them today, for comparison: each module is one service over the same fitted pipeline."""
