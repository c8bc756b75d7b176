"""A report shows measurements: as a table or a page for people, as JSON or JUnit XML for programs."""
