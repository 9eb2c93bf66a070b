"""The exact answers that methods are held against."""
