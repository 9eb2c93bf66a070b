"""Exercise checkers, one module a chapter; no other room imports them.

`from course_lib.checks import ch03 as check`, then `check.improve(improve)` says in words what it thinks of it.
"""
