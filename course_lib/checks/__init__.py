"""Exercise checkers, one module a chapter: `from course_lib.checks import ch03 as check`. Nothing imports this room."""
