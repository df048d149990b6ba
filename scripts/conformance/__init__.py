"""Parts of `grader_conformance.py`: readers of public data sets, wrong answers, and the graders of the data sets' owners."""
