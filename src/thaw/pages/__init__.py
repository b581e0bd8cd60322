"""The pages: tables, sentences and figures as report/*.qmd print them, and what renders them. Nothing imports torch."""
