"""What is written of finished runs: tables, figures and a page for one, comparisons of several."""
