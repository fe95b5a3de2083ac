"""Why an answer is as it is: what each field and word adds to it. Exact where the model is compiled, else estimated."""
