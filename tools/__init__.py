"""What course.py calls inside .venv: text → notebooks (build), notebook → text (absorb), and their rules."""
