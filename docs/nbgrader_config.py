"""nbgrader's settings for the exercises of this course: a copy of this file lies in the folder of the class."""

c = get_config()  # noqa: F821 - nbgrader brings it

c.CourseDirectory.course_id = "capkit"
# The exercises come without their answers: three dots stand in their place, and stay.
c.ClearSolutions.enabled = False
c.Execute.timeout = 300  # seconds for a cell
