"""ipywidgets explorers for the notebooks; nothing else imports ipywidgets."""
