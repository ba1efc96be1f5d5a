"""What the document processor does with documents: fetch, read, analyse, collect. Knows no workflow."""
